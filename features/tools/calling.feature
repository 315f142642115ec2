@cap:tools @W14
Feature: The model calls tools
  "It has to call" leaves the model one call (disable_parallel_tool_use): a small one that may make several at temperature 0
  makes the same one until max_tokens.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 80

  @MUST
  Rule: With tool_choice any or tool, the answer is a call that keeps to its schema
    "Define tools", forcing tool use: tool_choice any makes the model use one of the tools, tool the one that is named.
    "Handle tool calls": a tool_use block has an id, a name, and an input that conforms to the tool's input_schema;
    stop_reason is tool_use.

    @id:forced-call-keeps-to-its-schema
    Scenario Outline: A tool whose schema is <schema> is called by its name
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it has to call the tool "look_it_up"
      When it is sent
      Then it is a call that keeps to its tool's schema

      Examples:
        | schema      |
        | enumeration |
        | bounded     |
        | nested      |
        | unicode     |
        | empty       |

    @id:any-tool-is-called
    Scenario: One of two tools is called, if any will do
      Given it offers the tools "get_weather" and "get_time"
      And it has to call one tool
      When it is sent
      Then it is a call that keeps to its tool's schema

    @id:named-tool-is-called
    Scenario Outline: Of two tools, <name> is called when it is named
      Given it offers the tools "get_weather" and "get_time"
      And it has to call the tool "<name>"
      When it is sent
      Then it is a call that keeps to its tool's schema
      And every call is of "<name>"

      Examples:
        | name        |
        | get_weather |
        | get_time    |

    @id:forced-call-is-no-chance
    Scenario: At temperature 1 as well
      Given it offers the tool "look_it_up" with the schema "bounded"
      And its "temperature" is 1.0
      And it has to call one tool
      When it is sent
      Then it is a call that keeps to its tool's schema

  @MUST
  Rule: disable_parallel_tool_use makes one call of many
    "Parallel tool use": with tool_choice any or tool it makes exactly one, with auto at most one.

    @id:one-call-at-most
    Scenario Outline: With tool_choice <choice> there are <fewest> to <most> calls
      Given it offers the tools "get_weather" and "get_time"
      And its "messages.0.content" is "What are the weather and the time in Oslo and in Rome? Ask all four at once."
      And its "tool_choice" is {"type": "<choice>", "disable_parallel_tool_use": true}
      And its "max_tokens" is 40
      When it is sent
      Then it makes <fewest> to <most> calls

      Examples:
        | choice | fewest | most |
        | any    | 1      | 1    |
        | auto   | 0      | 1    |

  @MUST
  Rule: Without being forced, the stop reason tells whether there is a call
    "Handling stop reasons": tool_use means that the model calls a tool. Claude Code resends twice and fails when it finds
    no call then, and runs a call whatever the reason says.

    @id:stop-reason-tells-of-calls
    Scenario Outline: With tool_choice <choice>, stop_reason and content agree
      Given it offers the tool "get_weather" with the schema "bounded"
      And its "max_tokens" is 24
      And its "tool_choice" is {"type": "<choice>"}
      When it is sent
      Then its stop reason is tool_use exactly if it makes calls

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

    @id:call-that-is-written-is-a-call
    Scenario Outline: A call that the model writes of itself comes as a block, with the text before it
      Given a server that plays the script
      And a request saying "How is the weather?"
      And its "max_tokens" is 80
      And it offers the tool "get_weather" with the schema "bounded"
      When it is <sent>
      Then the <what> has blocks of text and tool_use
      And the <what>'s calls are of "get_weather" with {"city": "Oslo", "days": 2}
      And the <what> stopped for "tool_use"

      Examples:
        | sent     | what   |
        | sent     | reply  |
        | streamed | stream |

    @id:call-of-no-tool-is-text
    Scenario: What looks like a call, where there are no tools, is text
      Given a server that plays the script
      And a request saying "How is the weather?"
      And its "max_tokens" is 80
      When it is sent
      Then it makes 0 to 0 calls
      And its stop reason is tool_use exactly if it makes calls

  @MUST
  Rule: Each call has an id of its own
    "Handle tool calls": the id matches a result to its call. Of two calls with one id Claude Code drops the second.

    @id:call-ids-are-unique
    Scenario: Two answers have two ids
      Given it offers the tool "get_weather" with the schema "empty"
      And it has to call one tool
      When it is sent twice
      Then no two of their calls share an id

  @cap:streaming @MUST
  Rule: A call is streamed as a block whose input comes in deltas
    "Streaming Messages", input JSON delta: the deltas are pieces of the input's JSON, and content_block_start holds an empty
    object. The SDKs and Claude Code read nothing but the deltas.

    @id:call-stream-keeps-every-clause @W10
    Scenario Outline: A stream with a call whose schema is <schema> keeps the grammar
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it has to call one tool
      When it is streamed
      Then the stream keeps every clause
      And the stream has a block of tool_use

      Examples:
        | schema      |
        | enumeration |
        | empty       |

    @id:call-starts-without-input @W10
    Scenario: The block starts with an empty input, its id and its name
      Given it offers the tool "get_weather"
      And it has to call one tool
      When it is streamed
      Then each call starts with an id, a name and no input

    @id:call-deltas-join-to-the-input @W11
    Scenario Outline: At temperature 0 the deltas of a <schema> input join to the input of the reply
      Given it offers the tool "look_it_up" with the schema "<schema>"
      And it has to call one tool
      When it is sent
      And it is streamed
      Then the stream says what the reply says
      And each call's deltas join to JSON

      Examples:
        | schema      |
        | bounded     |
        | unicode     |

    @id:sdk-knows-every-event-of-a-call @W10
    Scenario: Each raw event is one that the official SDK's types know
      Given the official SDK, with strict validation
      And it offers the tool "get_weather" with the schema "empty"
      And it has to call one tool
      When it is streamed
      Then the SDK's types know each event but ping

  @cap:streaming @SHOULD
  Rule: A call's input comes while it is made
    "Streaming Messages": deltas let a client show and parse an input before it is whole. A SHOULD: how many pieces there are is
    not promised.

    @id:call-input-comes-in-pieces @W10
    Scenario: An input of two fields comes in more than one piece
      Given it offers the tool "look_it_up" with the schema "bounded"
      And it has to call one tool
      When it is streamed
      Then its input comes in 2 pieces or more

  @MUST
  Rule: A call that max_tokens cuts off ends with that reason
    "Handling stop reasons", max_tokens: a response cut in the middle of a call is not complete, and the reason says so.

    @id:call-that-is-cut-off
    Scenario Outline: After <number> tokens a forced call is cut, and says so
      Given it offers the tool "look_it_up" with the schema "nested"
      And it has to call one tool
      And its "max_tokens" is <number>
      When it is sent
      Then the reply stopped for "max_tokens"
      And no call in it keeps to its tool's schema

      Examples:
        | number |
        | 2      |
        | 9      |

    @id:call-stream-that-is-cut-off @cap:streaming
    Scenario: So it is when streamed, within the grammar
      Given it offers the tool "look_it_up" with the schema "nested"
      And it has to call one tool
      And its "max_tokens" is 9
      When it is streamed
      Then the stream keeps every clause
      And the stream stopped for "max_tokens"

  @cap:token-counting @W2 @W17 @MUST
  Rule: Tools are part of the prompt
    "Token counting": tools are counted. "Tool use", pricing: names, descriptions and schemas are input tokens.

    @id:count-includes-tools
    Scenario: A tool counts
      Given another request whose "tools" is [{"name": "get_weather", "description": "Tells the weather.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
      When the tokens of both are counted
      Then the other's count is larger

    @id:count-includes-a-tools-parts
    Scenario Outline: A tool's <part> counts
      Given it offers the tool "get_weather"
      And another request whose "tools.0.<field>" is <longer>
      When the tokens of both are counted
      Then the other's count is larger

      Examples:
        | part        | field                        | longer                                                                               |
        | name        | name                         | "get_the_weather_of_any_city_on_any_day_of_this_year"                                |
        | description | description                  | "Tells what it is asked, in full sentences, and always with a word about its source." |
        | schema      | input_schema.properties.note | {"type": "string", "description": "A note to the one who will answer, if any."}      |

    @id:count-with-tools-equals-usage
    Scenario Outline: With tool_choice <choice>, the count is the usage
      Given it offers the tools "get_weather" and "get_time"
      And its "tool_choice" is {"type": "<choice>"}
      And its "max_tokens" is 1
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage

      Examples:
        | choice |
        | auto   |
        | any    |
        | none   |

  @W18 @MUST
  Rule: Tools that are wrong are refused by name
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
        | one name twice         | [{"name": "a", "input_schema": {"type": "object"}}, {"name": "a", "input_schema": {"type": "object"}}]                   | name         |
        | no schema              | [{"name": "a"}]                                                                                                          | input_schema |
        | a schema of text       | [{"name": "a", "input_schema": "object"}]                                                                                | input_schema |
        | a schema of no object  | [{"name": "a", "input_schema": {"type": "string"}}]                                                                      | input_schema |
        | a schema that is none  | [{"name": "a", "input_schema": {"type": "object", "properties": {"b": {"type": "wizard"}}}}]                             | input_schema |

    @id:tool-choice-that-is-wrong
    Scenario Outline: tool_choice <choice> is refused
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
    Scenario: A call cannot be forced where there are no tools
      Given its "tool_choice" is {"type": "any"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "tool"
