package main

// The log as its public read API shows it: signed heads, tiles, entries. Every head passes note.Open with the given key, and every hash of a
// tile passes tlog.TileHashReader, which holds it against a signed root.

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxAnswer is above the largest entry bundle.
const maxAnswer = 32 << 20

// tileHeight is that of C2SP tlog-tiles.
const tileHeight = 8

type site struct {
	url       string
	client    *http.Client
	verifiers note.Verifiers
	origin    string
	publicKey []byte
	newest    tlog.Tree
	heads     []tlog.Tree
	records   []tlog.Hash
	counts    counts
}

func open(url, vkey string) (*site, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("verification key: %w", err)
	}
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 {
		return nil, fmt.Errorf("verification key: %q", vkey)
	}
	site := &site{
		url:       strings.TrimRight(url, "/"),
		client:    &http.Client{Timeout: 20 * time.Second},
		verifiers: note.VerifierList(verifier),
		origin:    verifier.Name(),
		publicKey: key[1:],
	}
	text, err := site.get("/checkpoint", "")
	if err != nil {
		return nil, err
	}
	if site.newest, err = site.head(text); err != nil {
		return nil, err
	}
	site.counts.Size = site.newest.N
	return site, site.history()
}

// history reads all published heads, page by page, along the links.
func (s *site) history() error {
	path := fmt.Sprintf("/v1/checkpoints?from=0&to=%d", s.newest.N)
	for path != "" {
		body, header, err := s.fetch(path, "application/json")
		if err != nil {
			return err
		}
		var page struct {
			Checkpoints []struct {
				Size       int64  `json:"size"`
				Checkpoint string `json:"checkpoint"`
			} `json:"checkpoints"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, one := range page.Checkpoints {
			head, err := s.head([]byte(one.Checkpoint))
			if err != nil || head.N != one.Size {
				return fmt.Errorf("head of size %d: %v", one.Size, err)
			}
			s.heads = append(s.heads, head)
		}
		path = ""
		if link := header.Get("Link"); link != "" {
			path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), ">; rel=\"next\"")
		}
	}
	s.counts.Heads = len(s.heads)
	if last := len(s.heads) - 1; last < 0 || s.heads[last] != s.newest {
		return fmt.Errorf("the history does not end with the newest head")
	}
	return nil
}

// head opens a checkpoint: signature, origin, size and root.
func (s *site) head(text []byte) (tlog.Tree, error) {
	opened, err := note.Open(text, s.verifiers)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != s.origin {
		return tlog.Tree{}, fmt.Errorf("checkpoint of another shape: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("checkpoint size %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// Height is part of tlog.TileReader.
func (s *site) Height() int { return tileHeight }

// SaveTiles is part of tlog.TileReader. Nothing is kept.
func (s *site) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles is part of tlog.TileReader: tiles over HTTP, at the paths of C2SP tlog-tiles, which have no height.
func (s *site) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "/tile/", 1)
		body, err := s.get(path, "")
		if err != nil {
			return nil, err
		}
		if len(body) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes", path, len(body))
		}
		data[i] = body
		s.counts.Tiles++
	}
	return data, nil
}

// entries reads the bundle that begins at entry 256 n, width entries of it.
func (s *site) entries(n int64, width int) ([][]byte, error) {
	tile := tlog.Tile{H: tileHeight, L: 0, N: n, W: width}
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", tileHeight), "/tile/entries/", 1)
	body, err := s.get(path, "")
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(body) > 0 {
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(body))
		entries = append(entries, body[2:end])
		body = body[end:]
	}
	if len(entries) != width {
		return nil, fmt.Errorf("%s: %d entries", path, len(entries))
	}
	return entries, nil
}

func (s *site) get(path, accept string) ([]byte, error) {
	body, _, err := s.fetch(path, accept)
	return body, err
}

func (s *site) fetch(path, accept string) ([]byte, http.Header, error) {
	status, body, header, err := s.ask(path, accept)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d: %s", path, status, body)
	}
	return body, header, err
}

func (s *site) ask(path, accept string) (int, []byte, http.Header, error) {
	request, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return answer.StatusCode, body, answer.Header, err
}
