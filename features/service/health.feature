@cap:health @W5
Feature: Is the server there

  Background:
    Given the server under test

  @SHOULD
  Rule: HEAD / tells that the server is there
    Clients such as Claude Code probe the base URL before they use it.

    @id:head-of-the-root
    Scenario: HEAD / is answered with 200 and no body
      When the client calls "HEAD /"
      Then the status is 200
      And the body is empty

  @SHOULD
  Rule: GET /health tells how the server is
    The design document, "Health check handler": status, model, version, performance, timestamp. No rule of Anthropic's.

    @id:health-tells-how-it-is
    Scenario: It tells status, model, version and time
      When the client calls "GET /health"
      Then the status is 200
      And it is healthy, with model, version and the time

    @id:health-tells-performance
    Scenario Outline: It tells <figure>
      When the client calls "GET /health"
      Then "performance.<figure>" is a number, not negative

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
    Scenario: It tells how many requests are active
      When the client calls "GET /health"
      Then "requests.active" is a number, not negative

    @id:health-tells-memory
    Scenario: It tells the memory in use
      When the client calls "GET /health"
      Then "memory" is an object of numbers

    @id:health-counts-what-was-done
    Scenario: Its figures follow what the server does
      Given a request
      When it is sent
      And the client calls "GET /health"
      Then "performance.tokens_per_second" is more than 0
