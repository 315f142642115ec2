@cap:metrics @S4
Feature: Metrics for Prometheus

  @SHOULD
  Rule: GET /metrics reports metrics in Prometheus's text format
    Prometheus, "Exposition formats": lines of a name, labels and a number, after one # HELP and # TYPE per metric.

    @id:metrics-are-prometheus
    Scenario: /metrics answers in Prometheus's text format
      Given the server under test
      When the client calls "GET /metrics"
      Then the status is 200
      And it is in Prometheus's text format

    @id:metrics-are-named-by-the-book
    Scenario: Metric names follow Prometheus's naming rules
      Prometheus, "Metric and label naming": a counter's name ends in _total, and units are base units.
      Given the server under test
      When the client calls "GET /metrics"
      Then every counter's name ends in _total, and every unit is a base unit

    @id:metrics-count-what-is-done
    Scenario: A counter rises when a request is answered
      Given a server that plays the script
      And a request
      When the metrics are read before and after it is sent
      Then a counter has risen and none has fallen

  @MUST
  Rule: Metrics require the API key
    What a server is doing is its owner's business, as in GET /health.

    @id:metrics-need-the-key @cap:auth @W19
    Scenario: /metrics is refused without a key
      Given a server that requires a key
      When the client calls "GET /metrics" without a key
      Then it is refused with status 401
