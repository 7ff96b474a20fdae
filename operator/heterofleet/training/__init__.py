"""Trains the classifier of requests from labelled traffic and measures it; `heterofleet train-classifier` is its edge.

    text -> traffic.read -> Traffic -> evaluation.measure -> what each method is worth on traffic it has not seen
                                    -> classifier.train   -> the weights that `router.classify` reads

Pure: texts and numbers in, numbers and texts out; randomness comes from a seed. numpy is known here and not in the
router.
"""
