package grantex

import (
	"regexp"
	"strings"
)

// hidden stands for a secret.
const hidden = "***"

var (
	urls       = regexp.MustCompile(`://[^\s"<>]+`)
	hostBefore = regexp.MustCompile(`^(\[[^\]/?]*\]|[^:/?]+)[/?]`)
	queries    = regexp.MustCompile(`(?s)\?.+`)
)

// redacted is a text without user, password and query of every URL in it. Whatever stands between
// :// and the last @ of the same word is a secret, so that one with a / or an @ in it does not
// show.
func redacted(text string) string {
	return urls.ReplaceAllStringFunc(text, func(found string) string { return "://" + redact(found[len("://"):]) })
}

// redactedURL is one URL without its secrets, also where it lacks its scheme or is no URL.
func redactedURL(url string) string {
	if scheme, rest, ok := strings.Cut(url, "://"); ok {
		return scheme + "://" + redact(rest)
	}
	return redact(url)
}

func redact(url string) string {
	// An @ of the path or the query, where the host came before, is none of credentials.
	if at := strings.LastIndexByte(url, '@'); at >= 0 && !hostBefore.MatchString(url[:at]) {
		url = hidden + url[at:]
	}
	return queries.ReplaceAllString(url, "?"+hidden)
}
