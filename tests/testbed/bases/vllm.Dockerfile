# In the place of vllm/vllm-openai: its Python, the one library that vLLM for the CPU needs, its user, and no vLLM,
# which weighs 2 GB and is mounted from the test bed's environment.
ARG PYTHON
FROM ${PYTHON}
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 2000 --gid 0 --create-home vllm
