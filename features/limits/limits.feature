@W18
Feature: Limits of the context window, the queue and the rate

  @C4 @MUST
  Rule: A max_tokens beyond what the window leaves is accepted, or refused in the words that clients act on
    "Handling stop reasons", model_context_window_exceeded: a request may ask for more than the window leaves. "Context windows":
    models that do not accept it answer with a validation error. Clients send 32,000 to 128,000 without knowing the window, and
    Claude Code lowers the number only if a 400 says "input length and `max_tokens` exceed context limit: A + B > C".

    @id:answer-over-the-window @cap:token-counting
    Scenario: A prompt and max_tokens that together exceed the window are answered, or refused in the words that clients match
      Given the server under test
      And a request
      And its prompt and max_tokens together exceed the model's window
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then it is answered, or the error says "input length and `max_tokens` exceed context limit: A + B > C"
      And in an error A is the prompt's token count, B its max_tokens and C the window

    @id:answer-that-fills-the-window @cap:token-counting
    Scenario: An answer that fills the window has the stop reason model_context_window_exceeded
      Given a server that plays the script
      And a request saying "Go on and on."
      And its prompt leaves 48 tokens of the model's window
      And its prompt and max_tokens together exceed the model's window
      When it is sent
      Then the reply is a refusal, or fills the window and says so

    @id:stream-that-fills-the-window @cap:token-counting @cap:streaming
    Scenario: A stream that fills the window has the stop reason model_context_window_exceeded
      Given a server that plays the script
      And a request saying "Go on and on."
      And its prompt leaves 48 tokens of the model's window
      And its prompt and max_tokens together exceed the model's window
      When it is streamed
      Then the stream is a refusal, or fills the window and says so

    @id:answer-that-fills-a-small-window @cap:token-counting
    Scenario: An answer that fills the window of a small model has the stop reason model_context_window_exceeded
      Given the server under test, with a window of at most 4096 tokens
      And a request saying "Go on and on."
      And its prompt leaves 48 tokens of the model's window
      And its prompt and max_tokens together exceed the model's window
      When it is sent
      Then the reply is a refusal, or fills the window and says so

    @id:answer-that-just-fits @cap:token-counting
    Scenario: A prompt and max_tokens that exactly fill the window are answered
      A client that has counted its tokens requests all that is left. The stop sequences end the answer early.
      Given the server under test
      And a request
      And its max_tokens fills the rest of the model's window
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then the reply is a message

  @C4 @SHOULD
  Rule: A max_tokens beyond what the window leaves is accepted
    "Context windows": newer models accept it. Most clients lower the number neither by themselves nor when it is refused.

    @id:answer-over-the-window-is-accepted @cap:token-counting
    Scenario: A prompt and max_tokens that together exceed the window are answered
      Given the server under test
      And a request
      And its prompt and max_tokens together exceed the model's window
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then the reply is a message

  @cap:queue-limit @MUST
  Rule: An overloaded server says when to retry
    "Errors": 529 overloaded_error. Claude Code waits for a retry-after of up to 60 seconds, and gives up on a longer one.

    @id:queue-that-is-full
    Scenario: A request beyond the queue's limit is refused as overloaded
      Given a server that plays the script
      And a request saying "Think before you speak."
      When it is streamed repeatedly until a request is refused
      Then it is refused as "overloaded_error" with status 529
      And its retry-after is between 1 and 60 seconds

  @cap:rate-limit @MUST
  Rule: A client over its rate limit learns when to retry
    "Rate limits": 429 rate_limit_error, with a retry-after header. The SDKs wait that long.

    @id:rate-limit-is-kept
    Scenario: With three requests a minute allowed, the fourth is refused
      Given a server that allows three requests a minute
      And a request
      When a new client sends it 4 times
      Then 3 of the replies are messages
      And it is refused as "rate_limit_error" with status 429
      And its retry-after is between 1 and 60 seconds

    @id:rate-limit-is-each-clients-own
    Scenario: One client's rate limit does not affect another client
      Given a server that allows three requests a minute
      And a machine whose clients have addresses of their own
      And a request
      When a new client sends it 4 times
      And a new client sends it 1 times
      Then 1 of the replies are messages

    @id:sdk-raises-rate-limit
    Scenario: The official SDK raises RateLimitError over the rate limit
      Given a server that allows three requests a minute
      And the official SDK, with strict validation
      When the SDK sends 4 requests
      Then the SDK raised RateLimitError with the type "rate_limit_error"
