@cap:messages @W1
Feature: The official SDK accepts every answer
  The client is Anthropic's Python SDK with strict validation: an answer that it rejects never reaches the SDK's users.

  Background:
    Given the server under test
    And the official SDK, with strict validation

  @MUST
  Rule: Every answer passes the SDK's strict validation
    The SDK: Anthropic(_strict_response_validation=True) validates each response against the API's types.

    @id:sdk-creates-a-message @W17
    Scenario: The official SDK creates a message
      When the SDK creates a message
      Then the SDK returns a complete message

    @id:sdk-streams-a-message @cap:streaming @W10
    Scenario: The official SDK streams a message and accumulates it
      When the SDK streams a message
      Then the SDK returns a complete message

    @id:sdk-stream-equals-its-message @cap:streaming @W11
    Scenario: The official SDK gets the same message streamed and not
      When the SDK creates a message
      And the SDK streams the same message
      Then the SDK's two messages match

    @id:sdk-counts-tokens @cap:token-counting @W2
    Scenario: The official SDK counts a message's tokens
      When the SDK creates a message
      And the SDK counts its tokens
      Then the SDK's count equals the message's usage

    @id:sdk-lists-models @cap:models @W3
    Scenario: The official SDK pages through the models
      When the SDK lists the models
      Then the model under test is one of them

    @id:sdk-retrieves-a-model @cap:models @W3
    Scenario: The official SDK retrieves a model by its id
      When the SDK retrieves the model
      Then the SDK returns the model under test

    @id:sdk-knows-every-event @cap:streaming @W10
    Scenario: The official SDK's types accept every raw event of a stream
      Given a request
      When it is streamed
      Then the SDK's types accept every event except ping

  @cap:errors @W18 @MUST
  Rule: Every refusal raises the SDK's matching exception
    The SDK: the status selects the class of the exception, which carries the body's type and request id.

    @id:sdk-raises-bad-request
    Scenario: The official SDK raises BadRequestError for an invalid request
      When the SDK sends a max_tokens of -1
      Then the SDK raised BadRequestError with the type "invalid_request_error"

    @id:sdk-raises-not-found
    Scenario: The official SDK raises NotFoundError for an unknown model
      When the SDK requests an unknown model
      Then the SDK raised NotFoundError with the type "not_found_error"

    @id:sdk-raises-authentication @cap:auth @W19
    Scenario: The official SDK raises AuthenticationError for a wrong key
      Given a server that requires a key
      When the SDK sends a wrong key
      Then the SDK raised AuthenticationError with the type "authentication_error"
