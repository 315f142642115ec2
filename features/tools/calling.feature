@cap:tools @W14
Feature: The model calls tools
  "It must call" also limits the model to one call (disable_parallel_tool_use): at temperature 0 a small model that may make
  several repeats the same call until max_tokens.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 80

  @MUST
  Rule: With tool_choice any or tool, the answer is a call that matches its schema
    "Define tools", forcing tool use: tool_choice any makes the model use one of the tools, and tool the named one.
    "Handle tool calls": a tool_use block has an id, a name, and an input that conforms to the tool's input_schema;
    stop_reason is tool_use.

    @id:forced-call-keeps-to-its-schema
    Scenario Outline: A forced call matches its tool's <schema> schema
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it must call the tool "look_it_up"
      When it is sent
      Then the reply is a call that matches its tool's schema

      Examples:
        | schema      |
        | enumeration |
        | bounded     |
        | nested      |
        | unicode     |
        | empty       |

    @id:any-tool-is-called
    Scenario: With tool_choice any, one of two tools is called
      Given it offers the tools "get_weather" and "get_time"
      And it must call one tool
      When it is sent
      Then the reply is a call that matches its tool's schema

    @id:named-tool-is-called
    Scenario Outline: With tool_choice tool, the named tool <name> is called
      Given it offers the tools "get_weather" and "get_time"
      And it must call the tool "<name>"
      When it is sent
      Then the reply is a call that matches its tool's schema
      And every call is to "<name>"

      Examples:
        | name        |
        | get_weather |
        | get_time    |

    @id:forced-call-is-no-chance
    Scenario: At temperature 1 a forced call still matches its schema
      Given it offers the tool "look_it_up" with the schema "bounded"
      And its "temperature" is 1.0
      And it must call one tool
      When it is sent
      Then the reply is a call that matches its tool's schema

  @MUST
  Rule: disable_parallel_tool_use limits an answer to one call
    "Parallel tool use": with tool_choice any or tool it makes exactly one, with auto at most one.

    @id:one-call-at-most
    Scenario Outline: With disable_parallel_tool_use and tool_choice <choice> there are <min> to <max> calls
      Given it offers the tools "get_weather" and "get_time"
      And its "messages.0.content" is "What are the weather and the time in Oslo and in Rome? Ask all four at once."
      And its "tool_choice" is {"type": "<choice>", "disable_parallel_tool_use": true}
      And its "max_tokens" is 40
      When it is sent
      Then it makes <min> to <max> calls

      Examples:
        | choice | min | max |
        | any    | 1   | 1   |
        | auto   | 0   | 1   |

  @MUST
  Rule: The stop reason says whether there is a call
    "Handling stop reasons": tool_use means that the model calls a tool. If there is no call, Claude Code resends twice and
    fails; if there is one, it runs it whatever the stop reason.

    @id:stop-reason-tells-of-calls
    Scenario Outline: With tool_choice <choice>, stop_reason says whether the content has a call
      Given it offers the tool "get_weather" with the schema "bounded"
      And its "max_tokens" is 24
      And its "tool_choice" is {"type": "<choice>"}
      When it is sent
      Then its stop reason is tool_use if and only if it makes calls

      Examples:
        | choice |
        | auto   |
        | any    |

    @id:no-call-when-none-is-wanted
    Scenario: With tool_choice none there is no call
      Given it offers the tool "get_weather" with the schema "bounded"
      And its "max_tokens" is 16
      And its "tool_choice" is {"type": "none"}
      When it is sent
      Then it makes 0 to 0 calls

    @id:call-cut-off-is-no-text
    Scenario Outline: A call that max_tokens cuts off after <max_tokens> tokens is never shown as text
      "Handling stop reasons", max_tokens: an incomplete tool_use block may be at the end. A client shows text to its user, who
      would read the model's own notation.
      Given a server that plays the script
      And a request saying "How is the weather?"
      And its "max_tokens" is <max_tokens>
      And it offers the tool "get_weather" with the schema "bounded"
      When it is sent
      And it is streamed
      Then the reply's stop reason is "max_tokens"
      And its text is "I will ask."
      And the stream matches the reply

      Examples:
        | max_tokens |
        | 4          |
        | 5          |
        | 6          |
        | 7          |
        | 8          |

    @id:call-that-is-written-is-a-call
    Scenario Outline: A call that is not forced comes as a block after the model's text when <sent>
      Given a server that plays the script
      And a request saying "How is the weather?"
      And its "max_tokens" is 80
      And it offers the tool "get_weather" with the schema "bounded"
      When it is <sent>
      Then the <what>'s blocks are text and tool_use
      And the <what>'s only call is to "get_weather" with {"city": "Oslo", "days": 2}
      And the <what>'s stop reason is "tool_use"

      Examples:
        | sent     | what   |
        | sent     | reply  |
        | streamed | stream |

    @id:call-of-no-tool-is-text
    Scenario: Without tools, text that looks like a call stays text
      Given a server that plays the script
      And a request saying "How is the weather?"
      And its "max_tokens" is 80
      When it is sent
      Then it makes 0 to 0 calls
      And its stop reason is tool_use if and only if it makes calls

  @MUST
  Rule: Each call has a unique id
    "Handle tool calls": the id matches a result to its call. Claude Code drops the second of two calls with the same id.

    @id:call-ids-are-unique
    Scenario: Calls in two answers have different ids
      Given it offers the tool "get_weather" with the schema "empty"
      And it must call one tool
      When it is sent twice
      Then no two calls share an id

  @cap:streaming @MUST
  Rule: A call is streamed as a block whose input arrives in deltas
    "Streaming Messages", input JSON delta: the deltas are pieces of the input's JSON, and content_block_start has an empty
    object. The SDKs and Claude Code read only the deltas.

    @id:call-stream-keeps-every-clause @W10
    Scenario Outline: A stream with a call whose schema is <schema> follows the grammar
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it must call one tool
      When it is streamed
      Then the stream satisfies every clause
      And the stream has a tool_use block

      Examples:
        | schema      |
        | enumeration |
        | empty       |

    @id:call-starts-without-input @W10
    Scenario: A streamed call starts with an id, a name and an empty input
      Given it offers the tool "get_weather"
      And it must call one tool
      When it is streamed
      Then each call starts with an id, a name and an empty input

    @id:call-deltas-join-to-the-input @W11
    Scenario Outline: At temperature 0 the deltas of a <schema> input join to the reply's input
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it must call one tool
      When it is sent
      And it is streamed
      Then the stream matches the reply
      And each call's deltas join to JSON

      Examples:
        | schema      |
        | bounded     |
        | unicode     |

    @id:sdk-knows-every-event-of-a-call @W10
    Scenario: The official SDK's types accept every raw event of a stream with a call
      Given the official SDK, with strict validation
      And it offers the tool "get_weather" with the schema "empty"
      And it must call one tool
      When it is streamed
      Then the SDK's types accept every event except ping

  @cap:streaming @SHOULD
  Rule: A call's input is streamed while it is generated
    "Streaming Messages": deltas let a client show and parse an input before it is complete. A SHOULD, since the
    number of pieces is not specified.

    @id:call-input-comes-in-pieces @W10
    Scenario: An input with two fields arrives in more than one piece
      Given it offers the tool "look_it_up" with the schema "bounded"
      And it must call one tool
      When it is streamed
      Then its input arrives in 2 or more pieces

  @MUST
  Rule: A call cut off by max_tokens has that stop reason
    "Handling stop reasons", max_tokens: a response cut in the middle of a call is not complete, and the reason says so.

    @id:call-that-is-cut-off
    Scenario Outline: A forced call cut off after <number> tokens has the stop reason max_tokens
      Given it offers the tool "look_it_up" with the schema "nested"
      And it must call one tool
      And its "max_tokens" is <number>
      When it is sent
      Then the reply's stop reason is "max_tokens"
      And no call in the reply matches its tool's schema

      Examples:
        | number |
        | 2      |
        | 9      |

    @id:call-stream-that-is-cut-off @cap:streaming
    Scenario: A streamed call cut off by max_tokens follows the grammar and has that stop reason
      Given it offers the tool "look_it_up" with the schema "nested"
      And it must call one tool
      And its "max_tokens" is 9
      When it is streamed
      Then the stream satisfies every clause
      And the stream's stop reason is "max_tokens"

  @cap:token-counting @W2 @W17 @MUST
  Rule: Tools are part of the prompt
    "Token counting": tools are counted. "Tool use", pricing: names, descriptions and schemas are input tokens.

    @id:count-includes-tools
    Scenario: A tool adds to the token count
      Given another request whose "tools" is [{"name": "get_weather", "description": "Tells the weather.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
      When the tokens of both requests are counted
      Then the other request's count is larger

    @id:count-includes-a-tools-parts
    Scenario Outline: A tool's <part> adds to the token count
      Given it offers the tool "get_weather"
      And another request whose "tools.0.<field>" is <longer>
      When the tokens of both requests are counted
      Then the other request's count is larger

      Examples:
        | part        | field                        | longer                                                                               |
        | name        | name                         | "get_the_weather_of_any_city_on_any_day_of_this_year"                                |
        | description | description                  | "Answers the question in full sentences, and always adds where the answer comes from." |
        | schema      | input_schema.properties.note | {"type": "string", "description": "A note to the one who will answer, if any."}      |

    @id:count-with-tools-equals-usage
    Scenario Outline: With tool_choice <choice>, the token count of tools equals the usage
      Given it offers the tools "get_weather" and "get_time"
      And its "tool_choice" is {"type": "<choice>"}
      And its "max_tokens" is 1
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage

      Examples:
        | choice |
        | auto   |
        | any    |
        | none   |

  @W18 @MUST
  Rule: Invalid tools are refused by name
    "Messages API reference", tools and tool_choice; "Define tools": the name matches ^[a-zA-Z0-9_-]{1,128}$. "Errors": 400
    invalid_request_error, beginning with the path of the field.

    @id:tools-that-are-wrong
    Scenario Outline: Tools with <trouble> are refused
      Given its "tools" is <tools>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples:
        | trouble                | tools                                                                                                                    | name         |
        | no list around them    | {"name": "a", "input_schema": {"type": "object"}}                                                                        | tools        |
        | no name                | [{"input_schema": {"type": "object"}}]                                                                                   | name         |
        | a name with spaces     | [{"name": "get the weather", "input_schema": {"type": "object"}}]                                                        | name         |
        | an empty name          | [{"name": "", "input_schema": {"type": "object"}}]                                                                       | name         |
        | a duplicate name       | [{"name": "a", "input_schema": {"type": "object"}}, {"name": "a", "input_schema": {"type": "object"}}]                   | name         |
        | no schema              | [{"name": "a"}]                                                                                                          | input_schema |
        | a string as a schema   | [{"name": "a", "input_schema": "object"}]                                                                                | input_schema |
        | a schema of a string   | [{"name": "a", "input_schema": {"type": "string"}}]                                                                      | input_schema |
        | an invalid schema      | [{"name": "a", "input_schema": {"type": "object", "properties": {"b": {"type": "wizard"}}}}]                             | input_schema |

    @id:tool-choice-that-is-wrong
    Scenario Outline: The tool_choice <choice> is refused
      Given it offers the tool "get_weather"
      And its "tool_choice" is <choice>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "tool_choice"

      Examples:
        | choice                              |
        | "any"                               |
        | {"type": "perhaps"}                 |
        | {"type": "tool"}                    |
        | {"type": "tool", "name": "no_such"} |

    @id:tool-choice-without-tools
    Scenario: Forcing a call without tools is refused
      Given its "tool_choice" is {"type": "any"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "tool"
