@cap:messages
Feature: Requests to POST /v1/messages
  What a client may send, and that it is heard.

  Background:
    Given the server under test
    And a request

  @W1 @MUST
  Rule: A message's content is a string, or an array of blocks
    "Messages API reference", messages: a string is shorthand for an array of one block of type text.

    @id:content-as-string
    Scenario: Content as a string is answered
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      When it is sent
      Then the reply is a message

    @id:content-as-blocks
    Scenario: Content as an array of text blocks is answered
      Given its "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]}]
      When it is sent
      Then the reply is a message

    @id:string-means-one-block
    Scenario: A string and one block of the same text are the same request
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      And another request whose "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
      When both are sent
      Then both replies say the same

  @W1 @MUST
  Rule: A conversation has turns of the user and of the assistant
    "Messages API reference", messages: turns usually alternate, and consecutive turns of one role are taken together.

    @id:conversation-of-turns
    Scenario: A conversation of three turns is answered
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye."}]
      When it is sent
      Then the reply is a message

    @id:consecutive-user-turns
    Scenario: Two turns of the user in a row are answered
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "user", "content": "Are you there?"}]
      When it is sent
      Then the reply is a message

  @cap:prefill @W1 @SHOULD
  Rule: A conversation that ends with the assistant's turn is continued from there
    "Messages API reference", content of the reply: it continues directly from that last turn. A SHOULD, because some
    of Anthropic's own models no longer take such a request.

    @id:prefill-is-continued
    Scenario: The second half of an answer follows from its first half
      Given its "max_tokens" is 12
      When it is sent
      And the first half of the answer is given as the assistant's turn
      Then the reply goes on where the first half ended

    @id:prefill-is-counted
    Scenario: The assistant's words are part of the prompt
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      And another request whose "messages" is [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello and"}]
      When both are sent
      Then the other's prompt is longer

  @W13 @MUST
  Rule: The system prompt is a string, or an array of text blocks
    "Messages API reference", system.

    @id:system-as-string
    Scenario: A system prompt is part of the prompt
      Two system prompts are compared, since a model may have one of its own that the client's takes the place of.
      Given its "system" is "Be brief."
      And another request whose "system" is "You are a pirate, and you speak as one, at length, of all that you have seen on the seven seas."
      When both are sent
      Then the other's prompt is longer

    @id:system-as-blocks
    Scenario: A system prompt of one block is the same as its string
      Given its "system" is "You are a pirate, and you speak as one."
      And another request whose "system" is [{"type": "text", "text": "You are a pirate, and you speak as one."}]
      When both are sent
      Then both replies say the same

  @W13 @MUST
  Rule: Sampling is at the client's choice
    "Messages API reference", temperature, top_p, top_k.

    @id:sampling-is-accepted
    Scenario Outline: <field> <value> is accepted
      Given its "<field>" is <value>
      When it is sent
      Then the reply is a message

      Examples:
        | field       | value |
        | temperature | 0     |
        | temperature | 0.5   |
        | temperature | 1.0   |
        | top_p       | 0.9   |
        | top_k       | 5     |

    @id:temperature-zero-repeats-itself
    Scenario: The same request at temperature 0 has the same answer
      When it is sent twice
      Then both replies say the same

  @W13 @MUST
  Rule: max_tokens bounds the answer
    "Messages API reference", max_tokens: the absolute maximum to generate. "Handling stop reasons", max_tokens: the
    answer reached that limit.

    @id:max-tokens-cuts
    Scenario: An answer that is longer is cut there
      Given its "messages.0.content" is "Write a long story about the sea."
      And its "max_tokens" is 5
      When it is sent
      Then the reply stopped for "max_tokens"
      And its usage counts 5 output tokens

    @id:max-tokens-of-zero
    Scenario: max_tokens of 0 makes no failure
      "Messages API reference", max_tokens: 0 fills the prompt cache and generates nothing. A server without that
      may say so.
      Given its "max_tokens" is 0
      When it is sent
      Then it is answered without text or refused as "invalid_request_error"

  @W13 @MUST
  Rule: A stop sequence ends the answer, and is not part of it
    "Messages API reference", stop_sequences: the reason is stop_sequence, and the field of that name holds the one
    that matched. "Handling stop reasons", stop_sequence.

    @id:stop-sequence-ends-the-answer
    Scenario: An answer ends before the stop sequence
      Given its "max_tokens" is 12
      When it is sent
      And it is sent again with a stop sequence out of the middle of the answer
      Then the reply stopped for that stop sequence
      And its text is the answer's up to there

    @id:stop-sequence-ends-the-stream @cap:streaming
    Scenario: A stream ends before the stop sequence
      Given its "max_tokens" is 12
      When it is sent
      And it is streamed with a stop sequence out of the middle of the answer
      Then the reply stopped for that stop sequence
      And its text is the answer's up to there

    @id:stop-sequence-that-never-comes
    Scenario: A stop sequence that never comes changes nothing
      Given another request whose "stop_sequences" is ["\u0007 nothing says this \u0007"]
      When both are sent
      Then both replies say the same

  @W13 @MUST
  Rule: Metadata is no part of the prompt
    "Messages API reference", metadata.user_id: an opaque identifier.

    @id:metadata-is-not-prompt
    Scenario: Metadata changes nothing
      Given another request whose "metadata" is {"user_id": "b7d1c2f0-8a57-4f6e-9a55-0a1f7a1f6a11"}
      When both are sent
      Then both replies say the same

  @W1 @MUST
  Rule: What the SDKs send is accepted
    The SDKs: their beta methods post to /v1/messages?beta=true with an anthropic-beta header; each sends the
    anthropic-version that it was made for ("Versioning").

    @id:beta-query-is-accepted
    Scenario: The beta form of the path is answered
      When it is sent to "/v1/messages?beta=true"
      Then the reply is a message

    @id:chunked-body-is-accepted
    Scenario: A body whose length is not told beforehand is answered
      RFC 9112, 7.1: a recipient must be able to read the chunked transfer coding.
      When it is sent in chunks
      Then the reply is a message

    @id:versions-are-accepted
    Scenario Outline: Version <version> of the API is answered
      When it is sent with the header "anthropic-version: <version>"
      Then the reply is a message

      Examples:
        | version    |
        | 2023-06-01 |
        | 2026-10-21 |

  @W1 @SHOULD
  Rule: What a server does not know, it ignores
    Claude Code and the SDKs send fields, headers and betas that are newer than the server, and do not recover from a
    refusal.

    @id:unknown-fields-are-ignored
    Scenario: An unknown field changes nothing
      Given another request whose "a_field_of_tomorrow" is {"depth": [1, 2, 3]}
      When both are sent
      Then both replies say the same

    @id:unknown-betas-are-ignored
    Scenario: An unknown beta is ignored
      When it is sent with the header "anthropic-beta: something-of-2099-01-01,another-2099-02-02"
      Then the reply is a message

    @id:unknown-headers-are-ignored
    Scenario: An unknown header is ignored
      When it is sent with the header "x-of-tomorrow: yes"
      Then the reply is a message
