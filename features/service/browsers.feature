@cap:browser-safety @W21
Feature: Web pages of foreign origins
  Every page in the user's browser can reach a server on loopback. None of them may use the model.

  Background:
    Given the server under test

  @MUST
  Rule: A foreign origin gets no CORS grant
    The Fetch standard, CORS protocol: a page can read an answer only if access-control-allow-origin names it. Anthropic's API
    grants nothing unless the client sends anthropic-dangerous-direct-browser-access.

    @id:origin-gets-no-grant
    Scenario: The answer to a web page's request has no CORS grant
      Given a request
      When it is sent with the header "Origin: https://evil.example"
      Then it has no header "access-control-allow-origin"

    @id:preflight-gets-no-grant
    Scenario: The answer to a CORS preflight request has no grant
      When a browser sends a preflight request for "https://evil.example"
      Then it has no header "access-control-allow-origin"

    @id:null-origin-gets-no-grant
    Scenario: A request from the null origin gets no CORS grant
      Given a request
      When it is sent with the header "Origin: null"
      Then it has no header "access-control-allow-origin"

  @MUST
  Rule: On loopback, a foreign Host is refused
    DNS rebinding: a page can point its own domain at 127.0.0.1. Its requests then carry that domain as Host, and the
    browser's same-origin policy lets it read every answer.

    @id:foreign-host-is-refused
    Scenario Outline: On loopback, the Host <host> is refused
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
    Scenario Outline: On loopback, the Host <host> is accepted
      Given the server is on loopback
      And a request
      When it is sent with the header "Host: <host>"
      Then the reply is a message

      Examples:
        | host      |
        | localhost |
        | 127.0.0.1 |

  @SHOULD
  Rule: A page of the server itself may use it
    The Fetch standard, "Origin" header: browsers send it with every POST, also to the server that the page came from. It is
    the address in Host then.

    @id:own-origin-is-answered
    Scenario: A request with the server's own origin is answered
      Given a request
      When it is sent with the server's own origin
      Then the reply is a message
