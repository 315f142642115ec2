@cap:structured-output @W16
Feature: Structured output

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 80

  @MUST
  Rule: An answer matches the JSON schema of output_config.format
    "Structured outputs", JSON outputs: the response is valid JSON that matches the schema, in a text block.

    @id:answer-keeps-to-the-schema
    Scenario Outline: An answer is JSON that matches the <schema> schema
      Given its answer must match the schema "<schema>"
      When it is sent
      Then its text is JSON that matches the schema
      And the reply's stop reason is "end_turn"

      Examples:
        | schema      |
        | bounded     |
        | nested      |
        | unicode     |

    @id:answer-keeps-to-the-older-field
    Scenario: An answer is JSON that matches the schema in output_format, the older name of output_config.format
      "Structured outputs": output_format still works, with its beta header.
      Given it uses the betas "structured-outputs-2025-11-13"
      And its answer must match the schema "bounded", in the field output_format
      When it is sent
      Then its text is JSON that matches the schema

    @id:structured-stream-equals-reply @cap:streaming @W11
    Scenario: A streamed structured answer is the same JSON as the reply
      Given its answer must match the schema "nested"
      When it is sent
      And it is streamed
      Then the stream satisfies every clause
      And the stream matches the reply

    @id:structured-output-at-any-temperature
    Scenario: At temperature 1 an answer still matches its schema
      Given its answer must match the schema "nested"
      And its "temperature" is 1.0
      When it is sent
      Then its text is JSON that matches the schema

    @id:structured-output-count-equals-usage @cap:token-counting @W17
    Scenario: The token count of a request with a schema equals its usage
      Given its answer must match the schema "nested"
      And its "max_tokens" is 1
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage

    @id:structured-output-that-is-cut-off
    Scenario: A structured answer cut off by max_tokens has that stop reason
      "Structured outputs", invalid outputs: an answer cut off by max_tokens may not match the schema.
      Given its answer must match the schema "nested"
      And its "max_tokens" is 3
      When it is sent
      Then the reply's stop reason is "max_tokens"

    @id:structured-output-with-a-look-ahead
    Scenario: A format with a look-ahead is refused by its path, or an answer matches the rest of it
      "Structured outputs", JSON schema limitations: look-ahead is not supported.
      Given its answer must match a schema with a look-ahead
      When it is sent
      Then its text is JSON that matches the rest of the schema, or the error names "output_config.format"

    @id:sdk-parses-structured-output
    Scenario: The official SDK parses a structured answer into a class
      The SDK: messages.parse, with a class as the output format.
      Given the official SDK, with strict validation
      When the SDK requests an answer parsed into a class
      Then the SDK returns an object of that class

  @W18 @MUST
  Rule: An invalid output format is refused with the path of the field
    "Structured outputs", JSON schema limitations: an unsupported schema is a 400. "Errors": the message begins with the path.

    @id:format-that-is-wrong
    Scenario Outline: The output_config <config> is refused
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
  Rule: Effort is a hint, and every level is accepted
    "Effort": output_config.effort. Claude Code sends it with every request; a model without effort levels may ignore it.

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
    Scenario: An unknown effort is refused with the path of the field
      Given its "output_config" is {"effort": "immense"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "output_config.effort"
