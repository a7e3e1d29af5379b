package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

//go:embed checks.js
var checksJS string

// checkPage returns what is wrong with the page that is open, of which dir holds the files.
func checkPage(b *browser, dir string) ([]string, error) {
	var found struct {
		Faults []string
		Links  []string
	}
	if err := b.evaluate(checksJS, &found); err != nil {
		return nil, err
	}
	faults := found.Faults
	for _, link := range found.Links {
		name, err := url.PathUnescape(link)
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		}
		if err != nil {
			faults = append(faults, fmt.Sprintf("link %s: %v", link, err))
		}
	}
	byKey, err := checkKeyboard(b)
	if err != nil {
		return nil, err
	}
	faults = append(faults, byKey...)
	noticed, err := checkEvents(b.events)
	return append(faults, noticed...), err
}

// checkKeyboard sorts a table by the Enter key.
func checkKeyboard(b *browser) ([]string, error) {
	var there bool
	if err := b.evaluate(`{
		const button = document.querySelector(".sortable thead button");
		if (button) button.focus();
		button === document.activeElement;
	}`, &there); err != nil || !there {
		return nil, err
	}
	const state = `document.activeElement.parentNode.getAttribute("aria-sort")`
	var before, after any
	if err := b.evaluate(state, &before); err != nil {
		return nil, err
	}
	if err := b.press("Enter", 13, "\r"); err != nil {
		return nil, err
	}
	if err := b.evaluate(state, &after); err != nil {
		return nil, err
	}
	if after == nil || after == before {
		return []string{fmt.Sprintf("Enter on a column's head does not sort: %v, then %v", before, after)}, nil
	}
	return nil, nil
}

// checkEvents looks for errors and requests among what the browser told while the page was open.
func checkEvents(events []message) (faults []string, err error) {
	for _, event := range events {
		params, err := json.Marshal(event.Params)
		if err != nil {
			return nil, err
		}
		switch event.Method {
		case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled":
			faults = append(faults, fmt.Sprintf("%s: %s", event.Method, params))
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			if err := json.Unmarshal(params, &sent); err != nil {
				return nil, err
			}
			if !strings.HasPrefix(sent.Request.URL, "file:") {
				faults = append(faults, "requests "+sent.Request.URL)
			}
		}
	}
	return faults, nil
}
