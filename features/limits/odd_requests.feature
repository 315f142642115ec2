@cap:errors @W18
Feature: Requests that no SDK sends
  Each is answered or refused. A 500 makes clients send it again, and is reported as a fault of the server.

  @SHOULD
  Rule: What is odd about a request is its client's fault
    RFC 9110, 15.6: a 5xx status says that the server failed. "Errors": what is wrong with a request is a 4xx.

    @id:doubled-slashes
    Scenario Outline: A GET of <path> is answered, or refused with a 4xx
      Given the server under test
      When the path <path> is requested
      Then its status says that the server did not fail

      Examples:
        | path               |
        | //v1/models        |
        | /v1//models        |
        | ///v1///models///  |

    @id:host-with-two-dots
    Scenario Outline: A request whose Host is <host> is answered, or refused with a 4xx
      Given the server under test
      And a request
      When it is sent with the header "Host: <host>"
      Then its status says that the server did not fail

      Examples:
        | host        |
        | localhost.. |
        | a..b        |
        | ..          |

    @id:limit-of-thousands-of-digits @cap:models
    Scenario: A limit of five thousand digits is refused with a 4xx, or ignored
      Given the server under test
      When the models are listed with a limit of 5000 digits
      Then its status says that the server did not fail

    @id:metrics-in-a-version-that-is-none @cap:metrics
    Scenario: Metrics requested in a version that is none are answered, or refused with a 4xx
      Given the server under test
      When the metrics are requested as "application/openmetrics-text; version=x.y"
      Then its status says that the server did not fail

  @cap:browser-safety @W21 @MUST
  Rule: A WebSocket handshake passes no rule that a plain request would not
    RFC 6455, 10.2: browsers let every page open a WebSocket to any address. The same-origin policy does not hold for it.

    @id:handshake-of-a-foreign-page
    Scenario: A WebSocket handshake of a foreign page is not accepted
      Given the server under test
      When a page of "https://evil.example" asks for a WebSocket at /v1/messages
      Then its status says that the server did not fail
      And it did not become a WebSocket
