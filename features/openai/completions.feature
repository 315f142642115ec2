@cap:openai @W6
Feature: POST /v1/completions, and the models

  Background:
    Given the server under test, spoken to as by OpenAI's clients

  @MUST
  Rule: A prompt is completed
    OpenAI's API reference, "The completion object": choices have a text; stream is terminated by data: [DONE].

    @id:openai-completion-shape
    Scenario: The answer is a completion
      Given a completion request
      When the completion is sent
      Then the answer is a completion

    @id:openai-completion-is-cut
    Scenario: max_tokens bounds it
      Given a completion request
      When the completion is sent
      Then the chat finished for "length"
      And its usage adds up, with 6 to 6 completion tokens

    @id:openai-completion-is-streamed
    Scenario: Streamed, it says the same, and then [DONE]
      Given a completion request
      When the completion is sent
      And the completion is streamed
      Then the texts of the chunks join to the completion's
      And the stream's last event is [DONE]

    @id:openai-completion-that-is-wrong
    Scenario: A prompt of 7 is refused
      Given a completion request
      And the chat's "prompt" is {"text": 7}
      When the completion is sent
      Then it is refused as OpenAI does, with status 400
      And the refusal names "prompt"

  @MUST
  Rule: GET /v1/models has OpenAI's form for OpenAI's clients
    API reference, "The model object": id, object, created, owned_by; the list is an object of data.

    @id:openai-models-are-listed
    Scenario: The list is one of models
      When the client calls "GET /v1/models"
      Then the answer is a list of OpenAI's models

    @id:openai-model-is-retrieved
    Scenario: One model has the same form
      When the client asks for the model under test
      Then the answer is one of OpenAI's models
