package grantex

import (
	"regexp"
	"strings"
)

// hidden replaces a secret.
const hidden = "***"

var (
	urls       = regexp.MustCompile(`://[^\s"<>]+`)
	hostBefore = regexp.MustCompile(`^(\[[^\]/?]*\]|[^:/?]+)[/?]`)
	queries    = regexp.MustCompile(`(?s)\?.+`)
)

// redacted is a text without user, password and query of every URL in it. Everything between ://
// and the last @ of the same word counts as a secret, so that one with a / or an @ is hidden too.
func redacted(text string) string {
	return urls.ReplaceAllStringFunc(text, func(found string) string { return "://" + redact(found[len("://"):]) })
}

// redactedURL is one URL without its secrets, also if it has no scheme or is not a URL.
func redactedURL(url string) string {
	if scheme, rest, ok := strings.Cut(url, "://"); ok {
		return scheme + "://" + redact(rest)
	}
	return redact(url)
}

func redact(url string) string {
	// An @ in the path or the query, after the host, does not end credentials.
	if at := strings.LastIndexByte(url, '@'); at >= 0 && !hostBefore.MatchString(url[:at]) {
		url = hidden + url[at:]
	}
	return queries.ReplaceAllString(url, "?"+hidden)
}
