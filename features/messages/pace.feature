Feature: Slow, failing, cancelled and concurrent requests
  What a client sees when an answer is slow, fails midway, is cancelled or runs beside others. Most scenarios need a server
  that plays the suite's script.

  @cap:streaming @W10 @C3 @MUST @slow
  Rule: Silence is filled with pings
    "Streaming Messages": streams may contain any number of ping events. Clients and proxies time out on silence.

    @id:ping-while-the-prompt-is-read
    Scenario: A stream opens at once for a slow prompt, with pings until the first word
      Given a server that plays the script
      And a request saying "Think before you speak."
      When it is streamed
      Then the stream satisfies every clause
      And message_start arrives within 3 seconds
      And a ping arrives before the first word
      And it is never silent for longer than 10 seconds

  @cap:streaming @W10 @MUST @slow
  Rule: A stream may take as long as its answer
    "Errors", long requests: streaming makes requests that take minutes possible.

    @id:stream-of-seventy-seconds
    Scenario: A stream that takes seventy seconds arrives complete
      Given a server that plays the script
      And a request saying "Take seventy seconds."
      And its "max_tokens" is 200
      When it is streamed
      Then the stream satisfies every clause
      And the connection closed cleanly
      And it took at least 65 seconds
      And its text has 71 words

  @cap:errors @cap:streaming @W10 @W18 @MUST
  Rule: A failure after the first byte is one error event that ends the stream
    "Streaming Messages", error events: an error may come in the stream, in the standard error format. "Errors":
    after a 200, the standard mechanisms no longer apply.

    @id:failure-in-a-stream-is-one-error-event
    Scenario: A generation that fails midway ends the stream with one error event
      Given a server that plays the script
      And a request saying "Fail in the middle."
      When it is streamed
      Then the stream satisfies every clause
      And its only error is its last event, an "api_error"
      And the connection closed cleanly

    @id:failure-before-the-reply-is-a-status
    Scenario: A generation that fails before the reply is sent is an ordinary error response
      Given a server that plays the script
      And a request saying "Fail in the middle."
      When it is sent
      Then it is refused as "api_error" with status 500

  @cap:cancellation @C5 @MUST
  Rule: A client that disconnects ends its generation
    The SDKs' Stream.close and Claude Code's Escape close the socket and rely on the server to stop working. Observed through
    GET /health, where a server reports how many requests are active.

    @id:client-that-leaves-is-noticed
    Scenario: A stream stops being active when its client disconnects
      Given a server that plays the script
      And it reports how many requests are active
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When the client disconnects in the middle of the stream
      Then the number of active requests drops back within 2 seconds

    @id:client-that-leaves-a-reply-is-noticed
    Scenario: A request stops being active when its client disconnects before the reply
      Given a server that plays the script
      And it reports how many requests are active
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When the client disconnects before the reply
      Then the number of active requests drops back within 2 seconds

  @cap:streaming @W1 @MUST
  Rule: Requests do not wait for each other to finish
    "Rate limits" limit the requests per minute, not the concurrent ones: agents send several at once.

    @id:request-beside-a-running-stream
    Scenario: A short request is answered while a long stream runs
      Given a server that plays the script
      And a request saying "Go on and on."
      And its "max_tokens" is 4000
      When a short request is sent while the stream runs
      Then the reply is a message
      And it did not wait for the stream to end

  @cap:messages @W11 @MUST @slow
  Rule: Requests do not change each other's answers
    A request's answer depends only on its own prompt ("Messages API reference": the API is stateless).

    @id:eight-at-once-equal-eight-in-turn
    Scenario: Eight concurrent requests get the same answers as one after another
      Given the server under test
      And eight different requests
      When they are sent one after another
      And they are sent at the same time
      Then each request gets the same answer both times
