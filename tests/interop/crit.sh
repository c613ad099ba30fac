#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: crit.sh DIRECTORY
#
# Let crit decode every image in a directory and encode it again: the bytes must be the same. An older crit drops fields
# that it does not know; then what it decodes from its own copy must be the same. Pages files are no images to crit.
# Exit status 0: all decoded; 1: not; 77: there is no crit.
set -u
dir=${1:?usage: crit.sh DIRECTORY}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0 checked=0

command -v crit >/dev/null || { echo "skip: there is no crit"; exit 77; }

# Decode, encode and compare one image; prints what is wrong.
check() {
	if ! crit decode -i "$1" -o "$tmp/json" 2>"$tmp/log"; then
		echo "crit does not decode $1: $(tail -n 1 "$tmp/log")"
		return 1
	fi
	if ! crit encode -i "$tmp/json" -o "$tmp/copy" 2>"$tmp/log"; then
		if grep -q 'missing required fields: type$' "$tmp/log"; then
			echo "note: this crit is older than a type of file in $1"
			return 0
		fi
		echo "crit does not encode $1: $(tail -n 1 "$tmp/log")"
		return 1
	fi
	cmp -s "$1" "$tmp/copy" && return 0
	crit decode -i "$tmp/copy" -o "$tmp/again" 2>/dev/null && cmp -s "$tmp/json" "$tmp/again" &&
		[ "$(stat -c %s "$tmp/copy")" -lt "$(stat -c %s "$1")" ] && return 0
	echo "crit encodes $1 differently"
	return 1
}

for image in "$dir"/*.img "$dir"/stats-dump "$dir"/stats-restore; do
	[ -f "$image" ] || continue
	case ${image##*/} in pages-*) continue ;; esac
	checked=$((checked + 1))
	check "$image" || failed=$((failed + 1))
done
[ "$checked" -gt 0 ] || { echo "there are no images in $dir"; exit 1; }
echo "crit: $checked images, $failed failed"
[ "$failed" -eq 0 ]
