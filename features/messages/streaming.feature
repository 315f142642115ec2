@cap:streaming @W10
Feature: The event stream of POST /v1/messages
  Its grammar is the transition table of contracts/streams/message_stream.py; each clause has a scenario of its own, so that
  a server hears which one it breaks.

  Background:
    Given the server under test
    And a request

  @MUST
  Rule: A stream is server-sent events, each named like its data's type
    "Streaming Messages": each event has a name and JSON data with a matching type. The SDKs dispatch on the name.

    @id:stream-content-type
    Scenario: The stream's content type is text/event-stream
      When it is streamed
      Then its header "content-type" begins with "text/event-stream"

    @id:stream-event-names
    Scenario: Every event is named like its type
      When it is streamed
      Then every event is named like its type

    @id:stream-ends-between-events
    Scenario: The stream ends as HTTP ends a body
      When it is streamed
      Then the connection ended as it should

  @MUST
  Rule: The events of a stream follow one grammar
    "Streaming Messages", event types and their order; the SDKs' accumulation of a message from events.

    @id:stream-known-events
    Scenario: MS-1 every event is of a documented type
      When it is streamed
      Then the stream keeps clause MS-1

    @id:stream-events-in-order
    Scenario: MS-2 events come in order
      When it is streamed
      Then the stream keeps clause MS-2

    @id:stream-starts-with-an-empty-message
    Scenario: MS-3 message_start carries an empty message
      When it is streamed
      Then the stream keeps clause MS-3

    @id:stream-blocks-are-numbered
    Scenario: MS-4 blocks are numbered from 0, one open at a time
      When it is streamed
      Then the stream keeps clause MS-4

    @id:stream-deltas-fit-their-block
    Scenario: MS-5 a delta fits the type of its block
      When it is streamed
      Then the stream keeps clause MS-5

    @id:stream-gives-a-stop-reason
    Scenario: MS-6 the last message_delta gives a stop reason
      When it is streamed
      Then the stream keeps clause MS-6

    @id:stream-usage-never-falls
    Scenario: MS-7 usage adds up within the stream
      When it is streamed
      Then the stream keeps clause MS-7

    @id:stream-ends-with-message-stop
    Scenario: MS-8 a stream ends with one message_stop
      When it is streamed
      Then the stream keeps clause MS-8
      And its last event is "message_stop"

    @id:stream-blocks-start-empty
    Scenario: MS-9 a block starts empty
      When it is streamed
      Then the stream keeps clause MS-9

  @W11 @W17 @MUST
  Rule: A stream and a reply to the same request say the same
    "Streaming Messages": the stream is the same message, sent piece by piece. The SDKs give one Message for both.

    @id:stream-equals-reply
    Scenario: At temperature 0 text, stop reason and usage are the same
      When it is sent
      And it is streamed
      Then the stream says what the reply says

    @id:stream-cut-equals-reply-cut
    Scenario: So they are when max_tokens cuts the answer
      Given its "max_tokens" is 3
      When it is sent
      And it is streamed
      Then the stream says what the reply says

    @id:stream-start-counts-the-prompt @cap:token-counting
    Scenario: message_start counts the prompt as the token count does
      When it is streamed
      And its tokens are counted
      Then message_start counts as many input tokens

    @id:stream-usage-adds-up
    Scenario: The final usage counts the prompt of message_start, and the reply's answer
      When it is sent
      And it is streamed
      Then the stream's usage adds up to the reply's

    @id:stream-model-is-echoed
    Scenario: The stream's message is of the model that was asked for
      When it is streamed
      Then message_start names the request's model

  @W18 @MUST
  Rule: What can be refused is refused before the stream begins
    "Errors": a refusal has a status and a JSON body. Only what fails after a 200 is told within the stream.

    @id:stream-is-refused-as-json
    Scenario: An invalid request to stream is a plain refusal
      Given its "max_tokens" is -1
      When it is streamed
      Then it is refused as "invalid_request_error" with status 400
