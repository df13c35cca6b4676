// Package codec answers: how do bytes become messages?
package codec
