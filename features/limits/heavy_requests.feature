@cap:errors @W18
Feature: Requests that are heavy for their size
  A few kilobytes can stand for minutes of work. A client that sends them must not stop the answers of all others.

  @MUST
  Rule: What is heavy is answered or refused, and other clients are answered meanwhile
    "Errors": invalid_request_error names what is wrong. A client that waits for another one's request runs into its timeout, and sends
    everything again.

    @id:pdf-with-a-million-operators @cap:pdf
    Scenario: A PDF of a few kilobytes with a million operators leaves other requests going
      Given the server under test
      And a request whose PDF has a million operators
      When it is sent, and plain requests meanwhile
      Then it is answered, or refused by its status
      And no plain request waited for it

    @id:blocks-in-number
    Scenario: A message of a hundred thousand blocks leaves other requests going
      Given the server under test
      And a request with 100000 content blocks
      When it is sent, and plain requests meanwhile
      Then it is answered, or refused by its status
      And no plain request waited for it

    @id:values-in-number
    Scenario: A body of ten million numbers leaves other requests going
      Given the server under test
      And a request with 10000000 numbers in a field that no API has
      When it is sent, and plain requests meanwhile
      Then it is answered, or refused by its status
      And no plain request waited for it

    @id:tool-that-is-named-often @cap:tool-search
    Scenario: A tool of a hundred kilobytes that a result names a thousand times leaves other requests going
      "Tool search tool": each reference is expanded into the full definition.
      Given the server under test
      And a request with a result that names a tool of 100000 characters 1000 times
      When it is sent, and plain requests meanwhile
      Then it is answered, or refused by its status
      And no plain request waited for it

    @id:pdf-of-a-million-letters @cap:pdf
    Scenario: A PDF of a few kilobytes with a million letters, 200 times, leaves other requests going
      Given the server under test
      And a request with 200 PDFs of 1000000 letters each
      When it is sent, and plain requests meanwhile
      Then it is answered, or refused by its status
      And no plain request waited for it

    @id:schema-of-many-levels @cap:tools
    Scenario: A tool whose schema nests in 90 levels is answered, or refused by name
      Given the server under test
      And a request with a tool whose schema nests in 90 levels
      When it is sent
      Then it is answered, or refused as naming "tools"

    @id:schema-of-many-combinations @cap:tools
    Scenario Outline: A tool whose schema has trillions of combinations in <what> leaves other requests going
      A definition may refer to another one twice, and that one to a third one. Two kilobytes are enough to stop a server that
      writes all of them out.
      Given the server under test
      And a request with a tool whose schema has trillions of combinations in <what>
      When a harmless request of the same length is sent, then it, and plain requests meanwhile
      Then it is answered, or refused as naming "tools"
      And no plain request waited for it

      Examples:
        | what              |
        | allOf             |
        | anyOf and allOf   |
        | allOf of patterns |

    @id:enum-of-the-smallest-integer @cap:tools
    Scenario Outline: A tool whose schema has <number> as <place> is answered, or refused by name
      JSON Schema sets no limit to numbers. Those at the end of 64 bits are where parsers and grammars overflow.
      Given the server under test
      And a request with a tool whose schema has <number> as <place>
      When it is sent
      Then it is answered, or refused as naming "tools"

      Examples:
        | number               | place     |
        | -9223372036854775808 | enum      |
        | -9223372036854775807 | enum      |
        | -9223372036854775808 | const     |
        | -1e300               | maximum   |
        | 9223372036854775808  | enum      |
        | 1e300                | minimum   |
        | 999999937            | multiple  |

    @id:call-of-many-items @cap:tools
    Scenario: A call whose schema requires an array of 100000 nulls is answered, or refused by name
      The answer ends at max_tokens, long before the array. A server that looks ahead at all that must follow may fail on its way.
      Given the server under test
      And a request that forces a call with 100000 nulls
      When it is sent
      Then it is answered, or refused as naming "tools"

  @MUST
  Rule: Bodies that do not arrive delay no other
    RFC 9112, 9.5: a server may close a connection that stays idle. It must not count on clients that send.

    @id:six-slow-bodies
    Scenario: While six clients send their bodies slowly, a seventh is answered
      Given the server under test
      And a request
      When six clients pause within their bodies, and it is sent
      Then the reply is a message
      And it did not wait for them

    @id:bodies-that-never-arrive
    Scenario: Six clients that never send the rest of their bodies are given up, and a seventh is answered meanwhile
      Given a server that plays the script
      And a request
      When six clients never send the rest of their bodies, and it is sent
      Then the reply is a message
      And the six are refused or disconnected
