"""From shards to the batches of a training step, in five steps, a module each:

1. open: tokenizer, vocabulary and shards, checked against each other (`sources`)
2. arrange: each epoch reads a source's records in another order and draws their spans (`epochs`), read ahead
   by threads (`reading`)
3. mix: the next record comes from the source furthest behind its share of the tokens (`mixture`)
4. pack: documents fill rows, rows make batches of host arrays (`core.batching`, `batches`)
5. place: a thread puts the batches to come on the devices (`placement`)
"""
