@cap:streaming @W10
Feature: The event stream of POST /v1/messages
  Its grammar is the transition table of contracts/streams/message_stream.py. Each clause has its own scenario, so that a
  report names the clause that is broken.

  Background:
    Given the server under test
    And a request

  @MUST
  Rule: A stream consists of server-sent events, each named after the type of its data
    "Streaming Messages": each event has a name and JSON data with a matching type. The SDKs dispatch on the name.

    @id:stream-content-type
    Scenario: A stream's content type is text/event-stream
      When it is streamed
      Then its header "content-type" begins with "text/event-stream"

    @id:stream-event-names
    Scenario: Every event is named after the type of its data
      When it is streamed
      Then every event's name is the type of its data

    @id:stream-ends-between-events
    Scenario: A stream's connection closes cleanly
      When it is streamed
      Then the connection closed cleanly

  @MUST
  Rule: The events of a stream follow one grammar
    "Streaming Messages", event types and their order; how the SDKs accumulate a message from events.

    @id:stream-known-events
    Scenario: MS-1: every event has a documented type
      When it is streamed
      Then the stream satisfies clause MS-1

    @id:stream-events-in-order
    Scenario: MS-2: events come in the documented order
      When it is streamed
      Then the stream satisfies clause MS-2

    @id:stream-starts-with-an-empty-message
    Scenario: MS-3: message_start carries an empty message
      When it is streamed
      Then the stream satisfies clause MS-3

    @id:stream-blocks-are-numbered
    Scenario: MS-4: blocks are numbered from 0, with one open at a time
      When it is streamed
      Then the stream satisfies clause MS-4

    @id:stream-deltas-fit-their-block
    Scenario: MS-5: a delta's type fits its block
      When it is streamed
      Then the stream satisfies clause MS-5

    @id:stream-gives-a-stop-reason
    Scenario: MS-6: the last message_delta has a stop reason
      When it is streamed
      Then the stream satisfies clause MS-6

    @id:stream-usage-never-falls
    Scenario: MS-7: usage adds up within the stream
      When it is streamed
      Then the stream satisfies clause MS-7

    @id:stream-ends-with-message-stop
    Scenario: MS-8: a stream ends with one message_stop
      When it is streamed
      Then the stream satisfies clause MS-8
      And its last event is "message_stop"

    @id:stream-blocks-start-empty
    Scenario: MS-9: a block starts empty
      When it is streamed
      Then the stream satisfies clause MS-9

  @W11 @W17 @MUST
  Rule: A stream and a reply to the same request have the same content
    "Streaming Messages": the stream is the same message, sent piece by piece. The SDKs return one Message for both.

    @id:stream-equals-reply
    Scenario: At temperature 0 a stream has the reply's text, stop reason and usage
      When it is sent
      And it is streamed
      Then the stream matches the reply

    @id:stream-cut-equals-reply-cut
    Scenario: A stream cut off by max_tokens matches the reply that is cut off there
      Given its "max_tokens" is 3
      When it is sent
      And it is streamed
      Then the stream matches the reply

    @id:stream-start-counts-the-prompt @cap:token-counting
    Scenario: message_start counts the prompt's tokens as the token count does
      When it is streamed
      And its tokens are counted
      Then message_start counts the same number of input tokens

    @id:stream-usage-adds-up
    Scenario: A stream's final usage has message_start's prompt tokens and the reply's output tokens
      When it is sent
      And it is streamed
      Then the stream's usage adds up to the reply's usage

    @id:stream-model-is-echoed
    Scenario: A stream's message names the requested model
      When it is streamed
      Then message_start names the request's model

  @W18 @MUST
  Rule: Every refusal comes before the stream begins
    "Errors": a refusal has a status and a JSON body. Only failures after a 200 are reported within the stream.

    @id:stream-is-refused-as-json
    Scenario: An invalid streaming request is refused with a JSON body
      Given its "max_tokens" is -1
      When it is streamed
      Then it is refused as "invalid_request_error" with status 400
