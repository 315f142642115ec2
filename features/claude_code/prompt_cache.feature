@cap:prompt-cache @C2 @W17
Feature: A prompt is computed once
  A client sends the whole conversation with every request. The prompts here have some 1,300 tokens, since servers may leave
  short ones alone, and are marked with cache_control, since servers may keep none without.

  Background:
    Given the server under test
    And a request with a long system prompt of its own, marked to be cached

  @MUST
  Rule: The prompt's tokens are told in three parts
    "Prompt caching", tracking cache performance: input_tokens, cache_creation_input_tokens and cache_read_input_tokens add up
    to the whole prompt, and cache_creation tells those written by their time to live.

    @id:cache-usage-adds-up @slow
    Scenario: The parts add up to the count, and what is written to its times to live
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage
      And what was written to the cache is told by its time to live

  @SHOULD
  Rule: What was computed is read when it comes again
    "Prompt caching": a request that repeats a cached prefix reads it. Nine tenths of it at the least, since a server may
    keep blocks of tokens rather than tokens.

    @id:cache-is-read-again @slow
    Scenario: The same request again is read from the cache
      When it is sent
      And it is sent again
      Then 90 percent of the prompt at least were read from the cache

    @id:cache-is-read-by-the-next-turn @slow
    Scenario: So is a conversation that goes on
      When it is sent
      And its answer is sent back with another question
      Then 90 percent of the prompt at least were read from the cache

    @id:cache-is-not-read-by-others @slow
    Scenario: Another prompt is not taken for it
      When it is sent
      And it is sent with another first word of its system prompt
      Then 10 percent of the prompt at most were read from the cache
