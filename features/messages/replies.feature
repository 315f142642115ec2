@cap:messages
Feature: The reply of POST /v1/messages
  The message that comes back when nothing is streamed.

  Background:
    Given the server under test
    And a request
    When it is sent

  @W1 @MUST
  Rule: The reply is a message of the assistant
    "Messages API reference", the response's fields; the SDKs' Message.

    @id:reply-shape
    Scenario: The reply has every field that a message has
      Then the reply is a message

    @id:reply-is-json
    Scenario: The reply is JSON by its header
      Then the reply is a message
      And its header "content-type" begins with "application/json"

    @id:reply-content-is-text
    Scenario: The content of a plain answer is text blocks
      Then its content is text blocks

    @id:reply-model-is-echoed
    Scenario: The model is the one that was asked for
      Then its "model" is the request's

    @id:reply-id-is-unique
    Scenario: Every message has an id of its own
      When it is sent again
      Then both replies have a "msg_" id of their own

    @id:reply-stop-reason
    Scenario: The stop reason is one of the documented ones
      Then it stopped for a documented reason

  @W17 @MUST
  Rule: Usage counts the tokens of the whole prompt and of the answer
    "Messages API reference", usage: input_tokens and what a cache wrote or read add up to the prompt; output_tokens
    is never zero for an answer, even an empty one. "Token counting" counts the same prompt.

    @id:usage-counts-are-true
    Scenario: The counts are positive, and the answer's within max_tokens
      Then its usage is counts within the request's max_tokens

    @id:usage-grows-with-the-prompt
    Scenario: A longer prompt counts more
      Given another request whose "messages" is [{"role": "user", "content": "Say hello to everyone in the whole wide world, one after the other, in the order in which they came."}]
      When both are sent
      Then the other's prompt is longer
