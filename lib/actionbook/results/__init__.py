"""Published figures, records of runs, the ladder of proof, and the pages and pictures made from them."""
