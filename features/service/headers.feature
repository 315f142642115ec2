@cap:errors @W18
Feature: Every response can be traced

  Background:
    Given the server under test

  @MUST
  Rule: Every response has a unique request-id
    "Errors", request id: every response has a unique request-id header; the SDKs show it as _request_id.

    @id:request-id-on-every-response
    Scenario Outline: The response to <call> has a request-id
      When the client calls "<call>"
      Then its header "request-id" begins with "req_"

      Examples:
        | call                      |
        | GET /v1/models            |
        | GET /v1/models/no-such    |
        | GET /v1/messages          |
        | GET /no/such/path         |

    @id:request-id-on-a-message
    Scenario: A message has a request-id
      Given a request
      When it is sent
      Then its header "request-id" begins with "req_"

    @id:request-id-on-a-stream @cap:streaming
    Scenario: A stream has a request-id
      Given a request
      When it is streamed
      Then its header "request-id" begins with "req_"

    @id:request-id-on-a-count @cap:token-counting
    Scenario: A token count has a request-id
      Given a request
      When its tokens are counted
      Then its header "request-id" begins with "req_"

    @id:request-id-is-unique
    Scenario: Two requests have different request-ids
      When the client calls "GET /v1/models" twice
      Then the two replies have different "request-id" headers

  @MUST
  Rule: An error's body has the request-id of its header
    "Errors", error shapes: type, error with type and message, and the request_id.

    @id:error-has-the-request-id
    Scenario Outline: The error of <call> has the request_id of its header
      When the client calls "<call>"
      Then the error is well formed and has the request_id of its header

      Examples:
        | call                   |
        | POST /v1/messages      |
        | GET /v1/models/no-such |
        | GET /v1/messages       |
        | GET /no/such/path      |
