@cap:structured-output @W16
Feature: Structured output

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 80

  @MUST
  Rule: An answer keeps to the JSON schema of output_config.format
    "Structured outputs", JSON outputs: the response is valid JSON that matches the schema, in a text block.

    @id:answer-keeps-to-the-schema
    Scenario Outline: The answer is JSON of the schema <schema>
      Given its answer has to keep to the schema "<schema>"
      When it is sent
      Then its text is JSON of that schema
      And the reply stopped for "end_turn"

      Examples:
        | schema      |
        | bounded     |
        | nested      |
        | unicode     |

    @id:structured-stream-equals-reply @cap:streaming @W11
    Scenario: Streamed, it is the same JSON
      Given its answer has to keep to the schema "nested"
      When it is sent
      And it is streamed
      Then the stream keeps every clause
      And the stream says what the reply says

    @id:structured-output-at-any-temperature
    Scenario: At temperature 1 it keeps to the schema as well
      Given its answer has to keep to the schema "nested"
      And its "temperature" is 1.0
      When it is sent
      Then its text is JSON of that schema

    @id:structured-output-count-equals-usage @cap:token-counting @W17
    Scenario: A schema is counted as it is used
      Given its answer has to keep to the schema "nested"
      And its "max_tokens" is 1
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage

    @id:structured-output-that-is-cut-off
    Scenario: An answer that max_tokens cuts off says so
      "Structured outputs", invalid outputs: one that was cut off by max_tokens may not match the schema.
      Given its answer has to keep to the schema "nested"
      And its "max_tokens" is 3
      When it is sent
      Then the reply stopped for "max_tokens"

    @id:sdk-parses-structured-output
    Scenario: The official SDK parses it
      The SDK: messages.parse, with a class for the output's format.
      Given the official SDK, with strict validation
      When the SDK asks for an answer of a class
      Then the SDK has an object of that class

  @W18 @MUST
  Rule: A format that is wrong is refused by its place
    "Structured outputs", JSON schema limitations: a schema that is not supported is a 400. "Errors": it begins with the path.

    @id:format-that-is-wrong
    Scenario Outline: <config> is refused
      Given its "output_config" is <config>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples:
        | config                                                                                                           | name                        |
        | "json"                                                                                                           | output_config               |
        | {"format": "json"}                                                                                               | output_config.format        |
        | {"format": {"type": "xml", "schema": {"type": "object"}}}                                                        | output_config.format        |
        | {"format": {"type": "json_schema"}}                                                                              | output_config.format.schema |
        | {"format": {"type": "json_schema", "schema": "object"}}                                                          | output_config.format.schema |
        | {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "wizard"}}}}}       | output_config.format.schema |
        | {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/no"}}}}}   | output_config.format.schema |

  @cap:messages @SHOULD
  Rule: Effort is a wish, and accepted
    "Effort": output_config.effort. Claude Code sends it with every request; a model without it has nothing to change.

    @id:effort-is-accepted
    Scenario Outline: Effort <effort> is accepted
      Given its "output_config" is {"effort": "<effort>"}
      And its "max_tokens" is 1
      When it is sent
      Then the reply is a message

      Examples:
        | effort |
        | low    |
        | medium |
        | high   |
        | xhigh  |
        | max    |

    @id:effort-that-is-wrong
    Scenario: An effort that the API does not have is refused by its place
      Given its "output_config" is {"effort": "immense"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "output_config.effort"
