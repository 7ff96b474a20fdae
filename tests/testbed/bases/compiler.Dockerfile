# The same Python with a C compiler: in the place of python:3.11-bookworm.
ARG PYTHON
FROM ${PYTHON}
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
