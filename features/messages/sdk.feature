@cap:messages @W1
Feature: The official SDK is satisfied
  Anthropic's own Python SDK, with strict validation of every answer, as the client. What it refuses, no user of it
  can read.

  Background:
    Given the server under test
    And the official SDK, with strict validation

  @MUST
  Rule: Every answer passes the SDK's strict validation
    The SDK: Anthropic(_strict_response_validation=True) holds each response to the types of the API.

    @id:sdk-creates-a-message @W17
    Scenario: It creates a message
      When the SDK creates a message
      Then the SDK has a whole message

    @id:sdk-streams-a-message @cap:streaming @W10
    Scenario: It streams a message, and adds it up
      When the SDK streams a message
      Then the SDK has a whole message

    @id:sdk-stream-equals-its-message @cap:streaming @W11
    Scenario: Streamed and not, it gives the same message
      When the SDK creates a message
      And the SDK streams the same message
      Then the SDK's two messages say the same

    @id:sdk-counts-tokens @cap:token-counting @W2
    Scenario: It counts the tokens of a message
      When the SDK creates a message
      And the SDK counts its tokens
      Then the SDK's count is the message's usage

    @id:sdk-lists-models @cap:models @W3
    Scenario: It pages through the models
      When the SDK lists the models
      Then the model under test is one of them

    @id:sdk-retrieves-a-model @cap:models @W3
    Scenario: It retrieves the model by its id
      When the SDK retrieves the model
      Then the SDK has the model under test

    @id:sdk-knows-every-event @cap:streaming @W10
    Scenario: Each raw event is one that its types know
      Given a request
      When it is streamed
      Then the SDK's types know each event but ping

  @cap:errors @W18 @MUST
  Rule: Every refusal raises the SDK's own error for it
    The SDK: the status picks the class of the exception, and the body's type and request id stand on it.

    @id:sdk-raises-bad-request
    Scenario: An invalid request raises BadRequestError
      When the SDK is made to ask for -1 tokens
      Then the SDK raised BadRequestError of "invalid_request_error"

    @id:sdk-raises-not-found
    Scenario: An unknown model raises NotFoundError
      When the SDK asks for a model that is unknown
      Then the SDK raised NotFoundError of "not_found_error"

    @id:sdk-raises-authentication @cap:auth @W19
    Scenario: A wrong key raises AuthenticationError
      Given a server that demands a key
      When the SDK asks with a wrong key
      Then the SDK raised AuthenticationError of "authentication_error"
