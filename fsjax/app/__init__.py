"""A local page: paint an object on a photo or a few, and see it outlined in others. `python -m fsjax.app`.

It is one page of plain HTML and JavaScript, served by Python's own http.server, and needs nothing beyond
fsjax. Gradio would be the usual choice; as of 6.31 it keeps what is uploaded in a folder on the disk, asks
hosts outside when it starts unless it is told not to, and takes 31 MB as a wheel and 367 MB installed. Here
photos stay in the memory of the process and go with it, and the page loads nothing from anywhere else.
"""
