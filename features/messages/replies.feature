@cap:messages
Feature: The reply of POST /v1/messages
  The message that is returned when the request is not streamed.

  Background:
    Given the server under test
    And a request
    When it is sent

  @W1 @MUST
  Rule: The reply is an assistant message
    "Messages API reference", the response's fields; the SDKs' Message.

    @id:reply-shape
    Scenario: The reply has every field of a message
      Then the reply is a message

    @id:reply-is-json
    Scenario: The reply's content type is JSON
      Then the reply is a message
      And its header "content-type" begins with "application/json"

    @id:reply-content-is-text
    Scenario: The content of a plain answer consists of text blocks
      Then its content consists of text blocks

    @id:reply-model-is-echoed
    Scenario: The reply names the requested model
      Then its "model" matches the request

    @id:reply-id-is-unique
    Scenario: Every message has a unique id
      When it is sent again
      Then the two replies have different "msg_" ids

    @id:reply-stop-reason
    Scenario: The reply's stop reason is a documented one
      Then its stop reason is a documented one

  @W17 @MUST
  Rule: Usage counts the tokens of the whole prompt and of the answer
    "Messages API reference", usage: input_tokens and the tokens that a cache read or wrote add up to the prompt;
    output_tokens is never zero, even for an empty answer. "Token counting" counts the same prompt.

    @id:usage-counts-are-true
    Scenario: Usage counts are positive, and output_tokens is within max_tokens
      Then its usage counts are positive and within max_tokens

    @id:usage-grows-with-the-prompt
    Scenario: A longer prompt counts more input tokens
      Given another request whose "messages" is [{"role": "user", "content": "Say hello to everyone in the whole wide world, one after the other, in the order in which they came."}]
      When both requests are sent
      Then the other request's prompt is longer
