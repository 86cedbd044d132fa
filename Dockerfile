# Two images from one file:
#   docker build .                the gate with this repository's models and migrations
#   docker build --target gate .  the gate alone: build FROM it to run an Alembic project of your own

FROM python:3.13-slim AS build

# Wheels ship their debugging symbols: a fifth of everything that is installed here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/alembic-gate
COPY requirements.txt .
# The optional secret "pip" is a pip.conf: an index of one's own, whose password then stays out of every layer.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --no-cache-dir --no-compile --require-hashes --only-binary=:all: --target lib --requirement requirements.txt \
    && mv lib/bin . \
    && find bin -type f ! -name alembic -delete \
    && find lib -name '*.so' -exec strip --strip-unneeded {} + \
    && find lib -regextype posix-extended -regex '.*\.(pyi|pyx|pxd|c|h)' -delete \
    && rm -r lib/sqlalchemy/testing requirements.txt

COPY alembic_gate lib/alembic_gate
# What pip would leave beside the package: by it Alembic finds the plugin that keeps our tables out of autogenerate.
RUN mkdir lib/alembic_gate.dist-info \
    && printf 'Metadata-Version: 2.1\nName: alembic-gate\nVersion: 0\n' > lib/alembic_gate.dist-info/METADATA \
    && printf '[alembic.plugins]\nalembic.autogenerate.gate_tables = alembic_gate.autogenerate\n' \
        > lib/alembic_gate.dist-info/entry_points.txt
# Nobody edits these files in a running container, so their bytecode is never compared with its source.
RUN python -m compileall -q --invalidation-mode unchecked-hash lib

# -S: `site` costs a fifth of the interpreter's start, and PYTHONPATH below says all that it would.
# -P: a module of the project's never shadows one that the gate imports.
COPY entrypoint.py .
RUN sed -i '1s|.*|#!/usr/local/bin/python -SP|' entrypoint.py \
    && chmod 755 entrypoint.py \
    && ln -s ../entrypoint.py bin/alembic-gate


FROM python:3.13-slim AS gate

ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=https://example.com/alembic-gate
LABEL org.opencontainers.image.title="alembic-gate" \
      org.opencontainers.image.description="Brings a MySQL schema to the head of its Alembic scripts before the application starts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

# The official image has no bytecode of the standard library, and a read-only container can never keep any: each start
# would compile what it imports, which takes longer than everything else together.
# pip goes, with the copy that ensurepip could bring back: what runs here was installed above, and nothing else ever is.
RUN stdlib="$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(site-packages|dist-packages|ensurepip|idlelib|pydoc_data|test|tests|tkinter|turtledemo)/' "$stdlib" \
    && python -m pip uninstall --yes --no-input --root-user-action=ignore pip \
    && rm -rf "$stdlib/ensurepip"

COPY --from=build /opt/alembic-gate /opt/alembic-gate

# The second folder is where an image built FROM this one finds packages that its own env.py needs.
ENV PATH=/opt/alembic-gate/bin:$PATH \
    PYTHONPATH=/opt/alembic-gate/lib:/usr/local/lib/python3.13/site-packages \
    LANG=C.UTF-8 \
    PYTHONHASHSEED=0 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/opt/alembic-gate/entrypoint.py"]


FROM gate

COPY alembic.ini ./
COPY model model
COPY migrations migrations

USER 0
# Unlike the gate's own bytecode this is compared with its source: a script may be mounted over the one in the image.
RUN python -m compileall -q --invalidation-mode checked-hash . \
    && alembic-gate manifest
USER 65532:65532
