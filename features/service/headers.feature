@cap:errors @W18
Feature: Every response can be traced

  Background:
    Given the server under test

  @MUST
  Rule: Every response has a request-id of its own
    "Errors", request id: every response has a unique request-id header; the SDKs show it as _request_id.

    @id:request-id-on-every-response
    Scenario Outline: <call> has one
      When the client calls "<call>"
      Then its header "request-id" begins with "req_"

      Examples:
        | call                      |
        | GET /v1/models            |
        | GET /v1/models/no-such    |
        | GET /v1/messages          |
        | GET /no/such/path         |

    @id:request-id-on-a-message
    Scenario: A message has one
      Given a request
      When it is sent
      Then its header "request-id" begins with "req_"

    @id:request-id-on-a-stream @cap:streaming
    Scenario: A stream has one
      Given a request
      When it is streamed
      Then its header "request-id" begins with "req_"

    @id:request-id-on-a-count @cap:token-counting
    Scenario: A count has one
      Given a request
      When its tokens are counted
      Then its header "request-id" begins with "req_"

    @id:request-id-is-unique
    Scenario: Two requests have two
      When the client calls "GET /v1/models" twice
      Then the two have different "request-id" headers

  @MUST
  Rule: An error's body has the id of its header
    "Errors", error shapes: type, error with type and message, and the request_id.

    @id:error-has-the-request-id
    Scenario Outline: The refusal of <call> has it
      When the client calls "<call>"
      Then the error has its form, and the request_id of its header

      Examples:
        | call                   |
        | POST /v1/messages      |
        | GET /v1/models/no-such |
        | GET /v1/messages       |
        | GET /no/such/path      |
