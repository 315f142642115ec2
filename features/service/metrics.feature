@cap:metrics @S4
Feature: Figures for Prometheus

  @SHOULD
  Rule: GET /metrics tells what is measured, in Prometheus's text format
    Prometheus, "Exposition formats": lines of a name, labels and a number; # HELP and # TYPE before them, once a metric.

    @id:metrics-are-prometheus
    Scenario: What comes is Prometheus's text format
      Given the server under test
      When the client calls "GET /metrics"
      Then the status is 200
      And it is in Prometheus's text format

    @id:metrics-are-named-by-the-book
    Scenario: What only rises is named so, and nothing else is
      Prometheus, "Metric and label naming": a counter's name ends in _total, and units are base units.
      Given the server under test
      When the client calls "GET /metrics"
      Then each counter ends in _total, and no name in a unit that is no base unit

    @id:metrics-count-what-is-done
    Scenario: A counter rises when a request is answered
      Given a server that plays the script
      And a request
      When the metrics are read before and after it is sent
      Then a counter has risen, and none has fallen

  @MUST
  Rule: The figures are for those who have the key
    What a server does all day is its owner's affair, as in GET /health.

    @id:metrics-need-the-key @cap:auth @W19
    Scenario: Without the key there are none
      Given a server that demands a key
      When the client calls "GET /metrics" without a key
      Then it is refused with status 401
