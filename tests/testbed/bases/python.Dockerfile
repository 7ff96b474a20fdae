# Debian's Python 3.11 as debootstrap lays it down: in the place of python:3.11-slim-bookworm where no registry is.
# What runs on it is the same but for the patch release of Python and the folder that it lies in.
FROM scratch
ADD rootfs.tar /
CMD ["python3"]
