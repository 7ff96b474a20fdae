"""Which fleet a load should have, whether a mixed one pays at all, and the simulator's word that it holds.

    trace, metrics or answers -> Trace, LoadProfile            what is asked for (`answers`, `loadprofile`)
    Wishes                    -> candidates of each tier       layouts that fit, best first (`candidates`)
    candidates x prudence     -> Setting                       the fewest GPU-hours that hold (`search`, `trials`)
    Setting                   -> manifest -> simulation        what is written is what was played (`manifest`)
    all of it                 -> Recommendation                verdict, sizes of the source, risks (`advice`)

Pure: times and seeds are arguments, nothing is read or written but the catalogue that is passed in.
"""
