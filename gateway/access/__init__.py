"""Who is asking: authentication, the merchants' keys, replays of reads, receipts."""
