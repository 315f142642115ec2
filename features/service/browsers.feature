@cap:browser-safety @W21
Feature: Other people's web pages
  A server on loopback is within reach of every page in the user's browser. None of them may use the model.

  Background:
    Given the server under test

  @MUST
  Rule: A foreign origin gets no grant
    The Fetch standard, CORS protocol: a page reads an answer only if access-control-allow-origin names it. Anthropic's API
    grants none unless the client asks by anthropic-dangerous-direct-browser-access.

    @id:origin-gets-no-grant
    Scenario: An answer to a page's request has no grant
      Given a request
      When it is sent with the header "Origin: https://evil.example"
      Then it has no header "access-control-allow-origin"

    @id:preflight-gets-no-grant
    Scenario: A page's question before the request has no grant
      When a browser asks for "https://evil.example" whether it may post
      Then it has no header "access-control-allow-origin"

    @id:null-origin-gets-no-grant
    Scenario: A page without an origin has no grant
      Given a request
      When it is sent with the header "Origin: null"
      Then it has no header "access-control-allow-origin"

  @MUST
  Rule: On loopback, a foreign Host is refused
    DNS rebinding: a page's own name may be made to point at 127.0.0.1; then its requests carry that name as Host, and
    the browser's same-origin rule lets it read every answer.

    @id:foreign-host-is-refused
    Scenario Outline: A Host of <host> is refused
      Given the server is on loopback
      And a request
      When it is sent with the header "Host: <host>"
      Then it is refused as "permission_error" with status 403

      Examples:
        | host                   |
        | evil.example           |
        | evil.example:80        |
        | 127.0.0.1.evil.example |

    @id:own-host-is-accepted
    Scenario Outline: A Host of <host> is accepted
      Given the server is on loopback
      And a request
      When it is sent with the header "Host: <host>"
      Then the reply is a message

      Examples:
        | host      |
        | localhost |
        | 127.0.0.1 |
