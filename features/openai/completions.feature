@cap:openai @W6
Feature: POST /v1/completions and GET /v1/models for OpenAI's clients

  Background:
    Given the server under test, called by an OpenAI client

  @MUST
  Rule: A prompt is completed
    OpenAI's API reference, "The completion object": choices have a text; stream is terminated by data: [DONE].

    @id:openai-completion-shape
    Scenario: A completion has every field of its format
      Given a completion request
      When the completion is sent
      Then the answer is a completion

    @id:openai-completion-is-cut
    Scenario: max_tokens limits a completion
      Given a completion request
      When the completion is sent
      Then the chat's finish reason is "length"
      And its usage adds up, with 6 to 6 completion tokens

    @id:openai-completion-is-streamed
    Scenario: A streamed completion has the same text and ends with [DONE]
      Given a completion request
      When the completion is sent
      And the completion is streamed
      Then the chunks' texts join to the completion's text
      And the stream's last event is [DONE]

    @id:openai-completion-that-is-wrong
    Scenario: A completion whose prompt is not text is refused
      Given a completion request
      And the chat's "prompt" is {"text": 7}
      When the completion is sent
      Then it is refused in OpenAI's format with status 400
      And the refusal names "prompt"

  @MUST
  Rule: GET /v1/models has OpenAI's format for OpenAI's clients
    API reference, "The model object": id, object, created, owned_by; the list is an object of data.

    @id:openai-models-are-listed
    Scenario: The list of models has OpenAI's format
      When the client calls "GET /v1/models"
      Then the answer is a list of models in OpenAI's format

    @id:openai-model-is-retrieved
    Scenario: A retrieved model has OpenAI's format
      When the client requests the model under test
      Then the answer is a model in OpenAI's format
