"""From clips to the tables of a study, and how well they agree with people who coded the same clips."""
