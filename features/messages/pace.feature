Feature: Pace, faults and company
  What a client sees when an answer takes its time, breaks off, is given up, or is not the only one. Most of it needs a
  server that plays the suite's script.

  @cap:streaming @W10 @C3 @MUST @slow
  Rule: Silence is filled with pings
    "Streaming Messages": streams may hold any number of ping events. Clients and proxies give up on silence.

    @id:ping-while-the-prompt-is-read
    Scenario: A slow prompt is answered at once, with pings until its first word
      Given a server that plays the script
      And a request saying "Think before you speak."
      When it is streamed
      Then the stream keeps every clause
      And it opens within 3 seconds, message_start with it
      And a ping comes before the first word
      And no silence in it is longer than 10 seconds

  @cap:streaming @W10 @MUST @slow
  Rule: A stream may take as long as its answer
    "Errors", long requests: streaming is what makes a request of minutes possible.

    @id:stream-of-seventy-seconds
    Scenario: A stream of seventy seconds arrives whole
      Given a server that plays the script
      And a request saying "Take seventy seconds."
      And its "max_tokens" is 200
      When it is streamed
      Then the stream keeps every clause
      And the connection ended as it should
      And it took at least 65 seconds
      And its text has 71 words

  @cap:errors @cap:streaming @W10 @W18 @MUST
  Rule: A failure after the first byte is one error event, and the end
    "Streaming Messages", error events: an error may come in the stream, of the form that errors have elsewhere.
    "Errors": after a 200, the standard mechanisms no longer hold.

    @id:failure-in-a-stream-is-one-error-event
    Scenario: A generation that fails in the middle ends the stream with an error
      Given a server that plays the script
      And a request saying "Fail in the middle."
      When it is streamed
      Then the stream keeps every clause
      And its only error is its last event, an "api_error"
      And the connection ended as it should

    @id:failure-before-the-reply-is-a-status
    Scenario: A generation that fails before anything was sent is a plain error
      Given a server that plays the script
      And a request saying "Fail in the middle."
      When it is sent
      Then it is refused as "api_error" with status 500

  @cap:cancellation @C5 @MUST
  Rule: A client that leaves ends its generation
    The SDKs' Stream.close and Claude Code's Escape close the socket, and count on the work being stopped. Seen through
    GET /health, where a server shows how many requests are active.

    @id:client-that-leaves-is-noticed
    Scenario: A stream that is left in the middle is no longer active
      Given a server that plays the script
      And it tells how many requests are active
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When its stream is left in the middle
      Then the server has no more active requests within 2 seconds

    @id:client-that-leaves-a-reply-is-noticed
    Scenario: A reply that nobody waits for is no longer active
      Given a server that plays the script
      And it tells how many requests are active
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When the client hangs up before the reply
      Then the server has no more active requests within 2 seconds

  @cap:streaming @W1 @MUST
  Rule: Requests do not wait for each other's end
    "Rate limits" bound the requests of a minute, never to one at a time: agents send several.

    @id:request-beside-a-running-stream
    Scenario: A short request is answered while a long stream runs
      Given a server that plays the script
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When a short request is sent while its stream runs
      Then the reply is a message
      And it did not wait for the end of the stream

  @cap:messages @W11 @MUST @slow
  Rule: Requests do not change each other's answers
    A request's answer is a matter of its own prompt ("Messages API reference": the API is stateless).

    @id:eight-at-once-equal-eight-in-turn
    Scenario: Eight requests at once are answered as the same eight in turn
      Given the server under test
      And eight different requests
      When they are sent in turn
      And they are sent at once
      Then each is answered the same both times
