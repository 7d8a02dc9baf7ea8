"""Nothing grows and nothing is lost: sessions, seeds, threads, forks, killed writers, thousands of times."""
