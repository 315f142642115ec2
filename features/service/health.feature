@cap:health @W5
Feature: Health checks

  Background:
    Given the server under test

  @SHOULD
  Rule: HEAD / shows that the server is up
    Clients such as Claude Code probe the base URL before they use it.

    @id:head-of-the-root
    Scenario: HEAD / is answered with 200 and no body
      When the client calls "HEAD /"
      Then the status is 200
      And the body is empty

    @id:head-of-hello
    Scenario: HEAD /api/hello is answered with 200 and no body
      When the client calls "HEAD /api/hello"
      Then the status is 200
      And the body is empty

  @SHOULD
  Rule: GET /health reports the server's state
    The design document, "Health check handler": status, model, version, performance, timestamp. Anthropic has no such rule.

    @id:health-tells-how-it-is
    Scenario: /health reports status, model, version and time
      When the client calls "GET /health"
      Then the status is 200
      And it is healthy and reports model, version and time

    @id:health-tells-performance
    Scenario Outline: /health reports <figure>
      When the client calls "GET /health"
      Then "performance.<figure>" is a non-negative number

      Examples:
        | figure                     |
        | requests_per_second        |
        | tokens_per_second          |
        | average_latency_ms         |
        | p95_latency_ms             |
        | memory_utilization_percent |
        | gpu_utilization_percent    |
        | error_rate_percent         |

    @id:health-tells-requests
    Scenario: /health reports how many requests are active
      When the client calls "GET /health"
      Then "requests.active" is a non-negative number

    @id:health-tells-memory
    Scenario: /health reports the memory in use
      When the client calls "GET /health"
      Then "memory" is an object of numbers

    @id:health-counts-what-was-done
    Scenario: /health reports a token rate above 0 after an answer
      Given a request
      When it is sent
      And the client calls "GET /health"
      Then "performance.tokens_per_second" is more than 0
