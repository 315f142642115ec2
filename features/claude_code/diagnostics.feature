@cap:cache-diagnostics @C2 @W17
Feature: Cache diagnostics
  A client that changes its prompt without noticing pays for it with every turn.

  Background:
    Given the server under test
    And a request
    And its "system" is "You keep the books of a lighthouse, and you know every ship that ever passed it."

  @MUST
  Rule: Diagnostics say why a prompt was not read from the cache
    "Cache diagnostics": a request with diagnostics is compared with the one that previous_message_id names, and the first part that
    differs is reported; null if there is none, or nothing to compare.

    @id:cache-miss-of-nothing
    Scenario: A conversation that goes on has no reason for a cache miss
      Given its "diagnostics" is {"previous_message_id": null}
      When it is sent
      Then its diagnostics are null
      When its answer is sent back with another question, and diagnostics of both
      Then its diagnostics are null

    @id:cache-miss-of-a-part
    Scenario Outline: A request with another <field> reports <reason>
      Given its "diagnostics" is {"previous_message_id": null}
      When it is sent
      And it is sent with "<field>" set to <value>, and diagnostics of both
      Then its cache_miss_reason is "<reason>", with the tokens missed

      Examples:
        | field    | value                                                       | reason           |
        | system   | "Another system prompt."                                    | system_changed   |
        | tools    | [{"name": "look", "input_schema": {"type": "object"}}]      | tools_changed    |
        | messages | [{"role": "user", "content": "Something else altogether."}] | messages_changed |

    @id:cache-miss-of-an-unknown-message
    Scenario: A message that the server does not know is reported as not found
      Given its "diagnostics" is {"previous_message_id": "msg_01AAAAAAAAAAAAAAAAAAAAAA"}
      When it is sent
      Then its cache_miss_reason is "previous_message_not_found"

    @id:cache-miss-in-a-stream @cap:streaming
    Scenario: A stream reports the reason in message_start
      Given its "diagnostics" is {"previous_message_id": "msg_01AAAAAAAAAAAAAAAAAAAAAA"}
      When it is streamed
      Then message_start has the cache_miss_reason "previous_message_not_found"
