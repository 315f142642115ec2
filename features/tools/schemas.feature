@cap:tools @W14
Feature: Tools may have any JSON schema
  No server enforces every keyword. What it cannot enforce must not cost more than itself. The pattern here has a look-ahead,
  which "Structured outputs", JSON schema limitations, lists as unsupported.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 80

  @MUST
  Rule: A keyword that cannot be enforced fails no request
    "Define tools": input_schema is a JSON schema. Only strict tools are limited to what can be enforced.

    @id:odd-schema-beside-another
    Scenario Outline: With tool_choice <choice>, a tool whose pattern has a look-ahead fails no request
      Given it offers the tool "get_weather" and a tool with an odd pattern
      And its "tool_choice" is {"type": "<choice>", "disable_parallel_tool_use": true}
      When it is sent
      Then the reply is a message

      Examples:
        | choice |
        | auto   |
        | any    |
        | none   |

    @id:odd-schema-of-another-tool
    Scenario: A forced call keeps to its schema beside a tool whose pattern has a look-ahead
      Given it offers the tool "get_weather" and a tool with an odd pattern
      And it must call the tool "get_weather"
      When it is sent
      Then the reply is a call that matches its tool's schema
      And every call is to "get_weather"

    @id:impossible-schema-is-answered
    Scenario: A forced call that no input can satisfy is answered or refused, not an error of the server
      Given its "tools" is [{"name": "a", "input_schema": {"type": "object", "properties": {"b": {"type": "integer", "minimum": 2, "maximum": 1}}, "required": ["b"]}}]
      And it must call the tool "a"
      When it is sent
      Then it is answered, or refused as "invalid_request_error"

  @SHOULD
  Rule: A keyword that cannot be enforced is the only one that is not
    "Handle tool calls": input conforms to the tool's input_schema. A SHOULD, since only strict tools promise it.

    @id:odd-schema-is-enforced-but-for-one
    Scenario: The input of a tool whose pattern has a look-ahead matches the rest of its schema
      Given it offers the tool "get_weather" and a tool with an odd pattern
      And it must call the tool "odd"
      When it is sent
      Then the reply is a call that matches all of its tool's schema but the pattern

  @MUST
  Rule: A strict tool is enforced as a whole or refused by name
    "Strict tool use": with strict, a tool's input always matches its schema. "Structured outputs", JSON schema limitations: an
    unsupported schema is a 400.

    @id:strict-tool-is-whole-or-refused
    Scenario Outline: A strict tool with <keyword> gets input that matches, or is refused
      Given it offers the strict tool "odd" whose property has <constraint>
      And it must call the tool "odd"
      And its "temperature" is 1.0
      When it is sent
      Then the reply is a call that matches its tool's schema, or the error names "tools.0"

      Examples:
        | keyword        | constraint                                                                        |
        | a look-ahead   | {"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z])[a-z0-9]{12}$"}             |
        | unique items   | {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": true}  |
        | an enumeration | {"enum": ["red", "green"]}                                                        |
