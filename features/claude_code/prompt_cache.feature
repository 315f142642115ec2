@cap:prompt-cache @C2 @W17
Feature: A prompt is computed once
  A client sends the whole conversation with every request. The prompts here are about 1,300 tokens long, because servers may
  not cache short ones, and marked with cache_control, because servers may cache nothing without it.

  Background:
    Given the server under test
    And a request with a unique long system prompt, marked for caching

  @MUST
  Rule: Usage reports the prompt's tokens in three parts
    "Prompt caching", tracking cache performance: input_tokens, cache_creation_input_tokens and cache_read_input_tokens add up
    to the whole prompt, and cache_creation breaks the tokens written down by time to live.

    @id:cache-usage-adds-up @slow
    Scenario: The input counts add up to the token count, and cache_creation to the tokens written
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage
      And usage breaks the tokens written to the cache down by time to live

  @SHOULD
  Rule: A repeated prefix is read from the cache
    "Prompt caching": a request that repeats a cached prefix reads it. At least nine tenths of it, since a server may cache
    whole blocks of tokens.

    @id:cache-is-read-again @slow
    Scenario: A repeated request is read from the cache
      When it is sent
      And it is sent again
      Then at least 90 percent of the prompt was read from the cache

    @id:cache-is-read-by-the-next-turn @slow
    Scenario: The next turn of a conversation reads the earlier turns from the cache
      When it is sent
      And its answer is sent back with another question
      Then at least 90 percent of the prompt was read from the cache

    @id:max-tokens-of-zero-fills-the-cache @slow @cap:cache-filling @W13
    Scenario: A request with a max_tokens of 0 generates nothing, and the next one reads its prompt from the cache
      "Prompt caching", pre-warming the cache: empty content, the stop reason max_tokens, and usage as always.
      When it is sent with a max_tokens of 0
      Then it has no content, no output tokens, and stopped at max_tokens
      When it is sent
      Then at least 90 percent of the prompt was read from the cache

    @id:cache-is-not-read-by-others @slow
    Scenario: A prompt with a different beginning is not read from the cache
      When it is sent
      And it is sent with a different first word in its system prompt
      Then at most 10 percent of the prompt was read from the cache

  @cap:cache-filling @MUST
  Rule: A max_tokens of 0 is refused where an answer is needed
    "Prompt caching", pre-warming the cache, limitations.

    @id:max-tokens-of-zero-with-an-answer @W18
    Scenario Outline: A max_tokens of 0 is refused together with <field>
      Given its "<field>" is <value>
      And its "max_tokens" is 0
      When it is sent
      Then it is refused as "invalid_request_error" with status 400

      Examples:
        | field         | value                                                                |
        | stream        | true                                                                 |
        | thinking      | {"type": "enabled", "budget_tokens": 1024}                           |
        | output_config | {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": false}}} |

  @cap:cache-diagnostics @MUST
  Rule: Diagnostics say why a prompt was not read from the cache
    "Cache diagnostics": a request with diagnostics is compared with the one that previous_message_id names, and the first part that
    differs is reported; null if there is none, or nothing to compare.

    @id:cache-miss-of-nothing @slow
    Scenario: A conversation that goes on has no reason for a cache miss
      Given its "diagnostics" is {"previous_message_id": null}
      When it is sent
      Then its diagnostics are null
      When its answer is sent back with another question, and diagnostics of both
      Then its diagnostics are null

    @id:cache-miss-of-a-part @slow
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
