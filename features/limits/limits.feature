@W18
Feature: Too much

  @cap:errors @C4 @MUST
  Rule: A prompt that fits, with an answer that would not, is refused in words that clients act on
    Claude Code reads "input length and max_tokens exceed context limit: A + B > C" in a 400, and asks again for less.

    @id:answer-over-the-window
    Scenario: Prompt and max_tokens together are over the window
      Given the server under test
      And a request
      And its max_tokens is the model's window
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error says "input length and max_tokens exceed context limit: A + B > C"
      And A is what the token count says, B its max_tokens and C the window

    @id:answer-that-just-fits @cap:token-counting
    Scenario: What just fits is answered
      A client that has counted its tokens asks for all that is left. The stop sequences end the answer soon.
      Given the server under test
      And a request
      And its max_tokens is what its count leaves of the window
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then the reply is a message

  @cap:queue-limit @MUST
  Rule: A server with too much to do says so, and when to come again
    "Errors": 529 overloaded_error. Claude Code waits for retry-after when it is 60 at most, and gives up at once when it is more.

    @id:queue-that-is-full
    Scenario: One request too many is sent away
      Given a server that plays the script
      And a request saying "Think before you speak."
      When it is streamed again and again, until one is refused
      Then it is refused as "overloaded_error" with status 529
      And it says to come again in 1 to 60 seconds

  @cap:rate-limit @MUST
  Rule: A client that asks too often is told when to come again
    "Rate limits": 429 rate_limit_error, with a retry-after header. The SDKs wait for as long.

    @id:rate-limit-is-kept
    Scenario: The fourth request of a minute is refused, where three are allowed
      Given a server that takes three requests a minute
      And a request
      When a client of its own sends it 4 times
      Then 3 of them are messages
      And it is refused as "rate_limit_error" with status 429
      And it says to come again in 1 to 60 seconds

    @id:rate-limit-is-each-clients-own
    Scenario: One client's limit is not another's
      Given a server that takes three requests a minute
      And a request
      When a client of its own sends it 4 times
      And a client of its own sends it 1 times
      Then 1 of them are messages

    @id:sdk-raises-rate-limit
    Scenario: The official SDK raises RateLimitError
      Given a server that takes three requests a minute
      And the official SDK, with strict validation
      When the SDK asks 4 times
      Then the SDK raised RateLimitError of "rate_limit_error"
