@cap:openai @W6 @MUST
Feature: OpenAI's own SDK is satisfied

  Background:
    Given the server under test, spoken to as by OpenAI's clients
    And OpenAI's SDK, with strict validation
    And a chat request

  Rule: Every answer passes the SDK's strict validation
    The SDK: OpenAI(_strict_response_validation=True) holds each response to the types of the API.

    @id:openai-sdk-chats
    Scenario: It has a chat completion, and the same from a stream
      When OpenAI's SDK sends the chat
      And OpenAI's SDK streams the chat
      Then the chunks of the SDK add up to the completion

    @id:openai-sdk-calls
    Scenario: It has a call, and the same from a stream
      Given the chat offers the function "look_it_up" with the schema "bounded"
      And the chat's "tool_choice" is "required"
      When OpenAI's SDK sends the chat
      And OpenAI's SDK streams the chat
      Then the chunks of the SDK add up to the completion

    @id:openai-sdk-parses
    Scenario: It parses an answer of a class
      The SDK: chat.completions.parse, with a class for response_format.
      When OpenAI's SDK asks for an answer of a class
      Then OpenAI's SDK has an object of that class

    @id:openai-sdk-completes
    Scenario: It has a completion
      When OpenAI's SDK completes a prompt
      Then OpenAI's SDK has a text

    @id:openai-sdk-lists-models
    Scenario: It lists the models and retrieves one
      When OpenAI's SDK lists the models
      Then the model under test is one of them

  Rule: Every refusal raises the SDK's own error for it
    The SDK: the status picks the class of the exception; param and code stand on it.

    @id:openai-sdk-raises-bad-request
    Scenario: An invalid chat raises BadRequestError
      Given the chat's "max_tokens" is "many"
      When OpenAI's SDK sends the chat and is refused
      Then OpenAI's SDK raised BadRequestError

    @id:openai-sdk-raises-not-found
    Scenario: An unknown model raises NotFoundError
      Given the chat's "model" is "no-such-model-as-this"
      When OpenAI's SDK sends the chat and is refused
      Then OpenAI's SDK raised NotFoundError

    @id:openai-sdk-raises-authentication @cap:auth @W19
    Scenario: A wrong key raises AuthenticationError
      Given a server that demands a key
      And a chat request
      When OpenAI's SDK sends the chat with a wrong key
      Then OpenAI's SDK raised AuthenticationError
