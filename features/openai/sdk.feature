@cap:openai @W6 @MUST
Feature: OpenAI's SDK accepts every answer

  Background:
    Given the server under test, called by an OpenAI client
    And OpenAI's SDK, with strict validation
    And a chat request

  Rule: Every answer passes the SDK's strict validation
    The SDK: OpenAI(_strict_response_validation=True) validates each response against the API's types.

    @id:openai-sdk-chats
    Scenario: OpenAI's SDK gets the same chat completion streamed and not
      When OpenAI's SDK sends the chat
      And OpenAI's SDK streams the chat
      Then the SDK's chunks add up to the completion

    @id:openai-sdk-calls
    Scenario: OpenAI's SDK gets the same function call streamed and not
      A small model repeats the call until max_tokens, so that several calls are compared.
      Given the chat offers the function "look_it_up" with the schema "enumeration"
      And the chat's "tool_choice" is "required"
      And the chat's "max_tokens" is 48
      When OpenAI's SDK sends the chat
      And OpenAI's SDK streams the chat
      Then the SDK's chunks add up to the completion

    @id:openai-sdk-parses
    Scenario: OpenAI's SDK parses a structured answer into a class
      The SDK: chat.completions.parse, with a class for response_format.
      When OpenAI's SDK requests an answer parsed into a class
      Then OpenAI's SDK returns an object of that class

    @id:openai-sdk-completes
    Scenario: OpenAI's SDK completes a prompt
      When OpenAI's SDK completes a prompt
      Then OpenAI's SDK returns a text completion

    @id:openai-sdk-lists-models
    Scenario: OpenAI's SDK lists the models and retrieves each
      When OpenAI's SDK lists the models
      Then the model under test is one of them

  Rule: Every refusal raises the SDK's matching exception
    The SDK: the status selects the class of the exception, which carries param and code.

    @id:openai-sdk-raises-bad-request
    Scenario: OpenAI's SDK raises BadRequestError for an invalid chat
      Given the chat's "max_tokens" is "many"
      When OpenAI's SDK sends the chat and is refused
      Then OpenAI's SDK raised BadRequestError

    @id:openai-sdk-raises-not-found
    Scenario: OpenAI's SDK raises NotFoundError for an unknown model
      Given the chat's "model" is "no-such-model-as-this"
      When OpenAI's SDK sends the chat and is refused
      Then OpenAI's SDK raised NotFoundError

    @id:openai-sdk-raises-authentication @cap:auth @W19
    Scenario: OpenAI's SDK raises AuthenticationError for a wrong key
      Given a server that requires a key
      And a chat request
      When OpenAI's SDK sends the chat with a wrong key
      Then OpenAI's SDK raised AuthenticationError
