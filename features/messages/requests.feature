@cap:messages
Feature: Requests to POST /v1/messages
  What a client may send, and what effect it has.

  Background:
    Given the server under test
    And a request

  @W1 @MUST
  Rule: A message's content is a string, or an array of blocks
    "Messages API reference", messages: a string is shorthand for an array of one block of type text.

    @id:content-as-string
    Scenario: Content given as a string is answered
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      And its "max_tokens" is 2
      When it is sent
      Then the reply is a message

    @id:content-as-blocks
    Scenario: Content given as an array of text blocks is answered
      Given its "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]}]
      And its "max_tokens" is 2
      When it is sent
      Then the reply is a message

    @id:string-means-one-block
    Scenario: A string and one block with the same text get the same answer
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      And another request whose "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
      When both requests are sent
      Then both replies have the same answer

  @W1 @MUST
  Rule: A conversation has user turns and assistant turns
    "Messages API reference", messages: turns usually alternate, and consecutive turns of one role are combined.

    @id:conversation-of-turns
    Scenario: A conversation of three turns is answered
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye."}]
      And its "max_tokens" is 2
      When it is sent
      Then the reply is a message

    @id:consecutive-user-turns
    Scenario: Two consecutive user turns are answered
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "user", "content": "Are you there?"}]
      And its "max_tokens" is 2
      When it is sent
      Then the reply is a message

  @cap:prefill @W1 @SHOULD
  Rule: A conversation that ends with an assistant turn is continued from there
    "Messages API reference", content of the reply: it continues directly from that last turn. A SHOULD, because some
    of Anthropic's own models no longer accept such a request.

    @id:prefill-is-continued
    Scenario: Given the first half of an answer, the model continues with the second half
      Given its "max_tokens" is 12
      When it is sent
      And the first half of the answer is sent back as an assistant turn
      Then the reply continues where the first half ended

    @id:prefill-is-counted
    Scenario: An assistant turn at the end is part of the prompt
      Given its "messages" is [{"role": "user", "content": "Say hello."}]
      And another request whose "messages" is [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello and"}]
      And its "max_tokens" is 2
      When both requests are sent
      Then the other request's prompt is longer

  @W13 @MUST
  Rule: The system prompt is a string, or an array of text blocks
    "Messages API reference", system.

    @id:system-as-string
    Scenario: The system prompt is part of the prompt
      Two system prompts are compared, since a model may have a default one that the client's replaces.
      Given its "system" is "Be brief."
      And another request whose "system" is "You are a pirate, and you speak as one, at length, of all that you have seen on the seven seas."
      And its "max_tokens" is 2
      When both requests are sent
      Then the other request's prompt is longer

    @id:system-as-blocks
    Scenario: A system prompt as one block gets the same answer as a string
      Given its "system" is "You are a pirate, and you speak as one."
      And another request whose "system" is [{"type": "text", "text": "You are a pirate, and you speak as one."}]
      When both requests are sent
      Then both replies have the same answer

  @W13 @MUST
  Rule: The client sets the sampling parameters
    "Messages API reference", temperature, top_p, top_k.

    @id:sampling-is-accepted
    Scenario Outline: A request with <field> set to <value> is accepted
      Given its "<field>" is <value>
      And its "max_tokens" is 2
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
    Scenario: The same request at temperature 0 gets the same answer twice
      When it is sent twice
      Then both replies have the same answer

  @W13 @MUST
  Rule: max_tokens limits the answer
    "Messages API reference", max_tokens: the absolute maximum to generate. "Handling stop reasons", max_tokens: the
    answer reached that limit.

    @id:max-tokens-cuts
    Scenario: An answer longer than max_tokens is cut off there
      Given its "messages.0.content" is "Write a long story about the sea."
      And its "max_tokens" is 5
      When it is sent
      Then the reply's stop reason is "max_tokens"
      And its usage counts 5 output tokens

    @id:max-tokens-of-zero
    Scenario: A max_tokens of 0 does not fail the server
      "Messages API reference", max_tokens: 0 fills the prompt cache and generates nothing. A server without
      this feature may refuse it.
      Given its "max_tokens" is 0
      When it is sent
      Then it is answered without text, or refused as "invalid_request_error"

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

  @W13 @MUST
  Rule: A stop sequence ends the answer, and is not part of it
    "Messages API reference", stop_sequences: the reason is stop_sequence, and the field of that name holds the one
    that matched. "Handling stop reasons", stop_sequence.

    @id:stop-sequence-ends-the-answer
    Scenario: An answer ends before the stop sequence
      Given its "max_tokens" is 12
      When it is sent
      And it is sent again with a stop sequence from the middle of the answer
      Then the reply stopped at that stop sequence
      And its text is the answer up to that point

    @id:stop-sequence-ends-the-stream @cap:streaming
    Scenario: A stream ends before the stop sequence
      Given its "max_tokens" is 12
      When it is sent
      And it is streamed with a stop sequence from the middle of the answer
      Then the reply stopped at that stop sequence
      And its text is the answer up to that point

    @id:stop-sequence-that-never-comes
    Scenario: A stop sequence that never occurs changes nothing
      Given another request whose "stop_sequences" is ["\u0007 nothing says this \u0007"]
      When both requests are sent
      Then both replies have the same answer

  @W13 @MUST
  Rule: Metadata is not part of the prompt
    "Messages API reference", metadata.user_id: an opaque identifier.

    @id:metadata-is-not-prompt
    Scenario: Metadata does not change the answer
      Given another request whose "metadata" is {"user_id": "b7d1c2f0-8a57-4f6e-9a55-0a1f7a1f6a11"}
      When both requests are sent
      Then both replies have the same answer

  @W1 @MUST
  Rule: Every form of request that the SDKs send is accepted
    The SDKs: their beta methods post to /v1/messages?beta=true with an anthropic-beta header; each sends the
    anthropic-version that it was built for ("Versioning").

    @id:beta-query-is-accepted
    Scenario: A request to the beta form of the path is answered
      Given its "max_tokens" is 2
      When it is sent to "/v1/messages?beta=true"
      Then the reply is a message

    @id:chunked-body-is-accepted
    Scenario: A body with chunked transfer coding is answered
      RFC 9112, 7.1: a recipient must be able to read the chunked transfer coding.
      Given its "max_tokens" is 2
      When it is sent in chunks
      Then the reply is a message

    @id:versions-are-accepted
    Scenario Outline: A request for API version <version> is answered
      Given its "max_tokens" is 2
      When it is sent with the header "anthropic-version: <version>"
      Then the reply is a message

      Examples:
        | version    |
        | 2023-06-01 |
        | 2026-10-21 |

  @W1 @SHOULD
  Rule: A server ignores what it does not know
    Claude Code and the SDKs send fields, headers and betas that are newer than the server, and do not recover from a
    refusal.

    @id:unknown-fields-are-ignored
    Scenario: An unknown field does not change the answer
      Given another request whose "a_field_of_tomorrow" is {"depth": [1, 2, 3]}
      When both requests are sent
      Then both replies have the same answer

    @id:unknown-betas-are-ignored
    Scenario: An unknown beta is ignored
      Given its "max_tokens" is 2
      When it is sent with the header "anthropic-beta: something-of-2099-01-01,another-2099-02-02"
      Then the reply is a message

    @id:unknown-headers-are-ignored
    Scenario: An unknown header is ignored
      Given its "max_tokens" is 2
      When it is sent with the header "x-of-tomorrow: yes"
      Then the reply is a message
