@cap:errors @W18
Feature: Refusals that come late
  A server may need seconds to find out that a prompt is too long, or that there is no room. Clients act on the status.

  Background:
    Given a server that plays the script
    And a request

  @MUST
  Rule: A refusal has its own status and headers however late it comes
    "Errors": a stream that has begun with a 200 cannot be refused by its status any more. The SDKs send a request again by its
    status, and wait as long as retry-after says; so no ping begins the answer of a request that may still be refused.

    @id:late-refusal-of-a-stream @cap:streaming
    Scenario: A stream that is refused after seconds is refused by its status
      Given its "messages.0.content" is "Refuse this late."
      When it is streamed
      Then it is refused as "invalid_request_error" with status 400

    @id:late-refusal-for-lack-of-room @cap:streaming
    Scenario: A stream that finds no room after seconds is refused with a retry-after
      Given its "messages.0.content" is "Have no room, and say so late."
      When it is streamed
      Then it is refused as "overloaded_error" with status 529
      And its retry-after is between 1 and 60 seconds

    @id:late-refusal-of-a-chat @cap:streaming @cap:openai
    Scenario: A stream of OpenAI's API that is refused after seconds is refused by its status
      Given a server that plays the script, called by an OpenAI client
      And the chat's "messages.0.content" is "Refuse this late."
      When the chat is streamed
      Then it is refused in OpenAI's format with status 400
