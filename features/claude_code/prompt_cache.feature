@cap:prompt-cache @C2 @W17
Feature: A prompt is computed once
  A client sends the whole conversation with every request. The prompts here are about 1,100 tokens long, because servers may
  not cache short ones, and marked with cache_control, because servers may cache nothing without it.

  Background:
    Given the server under test

  @MUST
  Rule: Usage reports the prompt's tokens in three parts
    "Prompt caching", tracking cache performance: input_tokens, cache_creation_input_tokens and cache_read_input_tokens add up
    to the whole prompt, and cache_creation breaks the tokens written down by time to live.

    @id:cache-usage-adds-up @slow
    Scenario: The input counts add up to the token count, and cache_creation to the tokens written
      Given a request with a unique long system prompt, marked for caching
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage
      And usage breaks the tokens written to the cache down by time to live

  @SHOULD
  Rule: A repeated prefix is read from the cache
    "Prompt caching": a request that repeats a cached prefix reads it. At least nine tenths of it, since a server may cache
    whole blocks of tokens.

    @id:cache-is-read-again @slow
    Scenario: A repeated request is read from the cache
      Given a request with a long system prompt, marked for caching
      When it is sent
      And it is sent again
      Then at least 90 percent of the prompt was read from the cache

    @id:cache-is-read-by-the-next-turn @slow
    Scenario: The next turn of a conversation reads the earlier turns from the cache
      Given a request with a long system prompt, marked for caching
      When it is sent
      And its answer is sent back with another question
      Then at least 90 percent of the prompt was read from the cache

    @id:max-tokens-of-zero-fills-the-cache @slow @cap:cache-filling @W13
    Scenario: A request with a max_tokens of 0 generates nothing, and the next one reads its prompt from the cache
      "Prompt caching", pre-warming the cache: empty content, the stop reason max_tokens, and usage as always.
      Given a request with a unique long system prompt, marked for caching
      When it is sent with a max_tokens of 0
      Then it has no content, no output tokens, and stopped at max_tokens
      When it is sent
      Then at least 90 percent of the prompt was read from the cache

    @id:cache-is-not-read-by-others @slow
    Scenario: A prompt with a different beginning is not read from the cache
      Given a request with a long system prompt, marked for caching
      When it is sent
      And it is sent with a different first word in its system prompt
      Then at most 10 percent of the prompt was read from the cache
