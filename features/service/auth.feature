@cap:auth @W19
Feature: API keys

  Background:
    Given a server that requires a key
    And a request

  @MUST
  Rule: A request without the right key is refused
    "Errors": 401 authentication_error. "API overview", authentication: the key goes into x-api-key; the SDKs send an auth
    token as Authorization: Bearer.

    @id:key-missing
    Scenario Outline: <call> without a key is refused
      When the client calls "<call>" without a key
      Then it is refused as "authentication_error" with status 401

      Examples:
        | call                           |
        | POST /v1/messages              |
        | POST /v1/messages/count_tokens |
        | GET /v1/models                 |
        | GET /v1/models/any             |

    @id:key-wrong
    Scenario Outline: A wrong key sent as <header> is refused
      When it is sent without a key, with the header "<header>"
      Then it is refused as "authentication_error" with status 401

      Examples:
        | header                             |
        | x-api-key: wrong                   |
        | x-api-key:                         |
        | Authorization: Bearer wrong        |
        | Authorization: Bearer              |
        | Authorization: Basic d3Jvbmc6a2V5  |

    @id:key-almost-right
    Scenario: The first half of the key is refused
      When it is sent with the first half of the key
      Then it is refused as "authentication_error" with status 401

    @id:key-wrong-for-a-stream
    Scenario: A stream without a key is refused before it begins
      When it is streamed without a key
      Then it is refused as "authentication_error" with status 401

  @MUST
  Rule: The right key is accepted in either header
    The SDKs: api_key goes out as x-api-key, auth_token as Authorization: Bearer.

    @id:key-as-x-api-key
    Scenario: The key in x-api-key is accepted
      When it is sent with the key in "x-api-key: {}"
      Then the reply is a message

    @id:key-as-bearer
    Scenario: The key in Authorization is accepted
      When it is sent with the key in "Authorization: Bearer {}"
      Then the reply is a message

  @SHOULD
  Rule: A refused key is not retried
    The SDKs obey x-should-retry; without it Claude Code retries a 401 ten times in three minutes.

    @id:key-refused-without-retry
    Scenario: The refusal of a wrong key says not to retry
      When it is sent without a key, with the header "x-api-key: wrong"
      Then its header "x-should-retry" is "false"

  @MUST
  Rule: A key is never echoed
    A key in an answer ends up in logs, screenshots and bug reports ("API key best practices").

    @id:key-is-not-echoed
    Scenario: The right key is not echoed in the reply
      When it is sent with the key in "x-api-key: {}"
      Then the reply does not contain the key

    @id:key-refused-is-not-echoed
    Scenario: A wrong key is not echoed in the refusal
      When it is sent without a key, with the header "x-api-key: sk-a-secret-of-another-user"
      Then the reply does not contain "sk-a-secret-of-another-user"
